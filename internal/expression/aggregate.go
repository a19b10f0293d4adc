package expression

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/builtin"
)

// aggregates are the functions of numbers that we declare ourselves: for expr their result has the type of the first
// argument, so that the mean of whole numbers would be one, and so would the larger of 1 and 2.5.
var aggregates = []string{"max", "min", "mean", "median"}

var (
	anyType   = reflect.TypeFor[any]()
	intType   = reflect.TypeFor[int]()
	floatType = reflect.TypeFor[float64]()
)

func aggregate(name string) *builtin.Function {
	fractions := name == "mean" || name == "median"
	return &builtin.Function{Name: name, Func: function(name), Validate: func(args []reflect.Type) (reflect.Type, error) {
		t, err := numberType(name, args)
		if fractions && err == nil {
			t = floatType
		}
		return t, err
	}}
}

// numberType is the type of a choice between the arguments: any if one of them is a list or may be.
func numberType(name string, args []reflect.Type) (reflect.Type, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("not enough arguments to call %s", name)
	}
	result, lists := args[0], false
	for _, t := range args {
		if t == nil {
			return nil, fmt.Errorf("invalid argument for %s (type nil)", name)
		}
		switch t.Kind() {
		case reflect.Interface, reflect.Slice:
			lists = true
		case reflect.Int, reflect.Int64, reflect.Float64:
			result = numberTypeOf(result, t)
		default:
			return nil, fmt.Errorf("invalid argument for %s (type %s)", name, t)
		}
	}
	if lists {
		return anyType, nil
	}
	return result, nil
}

func numberTypeOf(t, u reflect.Type) reflect.Type {
	switch {
	case t == u:
		return t
	case slices.Contains([]reflect.Type{t, u}, floatType):
		return floatType
	}
	return intType
}
