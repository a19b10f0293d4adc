package pipelines_test

import (
	"context"
	"fmt"

	"github.com/tidewatch/tidewatch/pipelines"
)

func ExampleParse() {
	specs, problems := pipelines.Parse("cpu.yaml", []byte(`
pipeline: cpu
source: {kafka: {topics: [metrics]}}
steps:
  - window: {tumbling: 10, by: [host], aggregate: {avg: averge(value)}}
`))
	problems = append(problems, pipelines.Validate(specs, components())...)
	fmt.Println(problems)
	// Output:
	// cpu.yaml:5:24: `tumbling`: `10` has no unit: did you mean `10s`?
	//     5 |   - window: {tumbling: 10, by: [host], aggregate: {avg: averge(value)}}
	//       |                        ^^
	//
	// cpu.yaml:5:57: unknown aggregate `averge`, did you mean `avg`?
	//     5 |   - window: {tumbling: 10, by: [host], aggregate: {avg: averge(value)}}
	//       |                                                         ^^^^^^
}

func ExampleRunCases() {
	specs, _ := pipelines.Parse("cpu.yaml", []byte(`
pipeline: cpu
source: {kafka: {topics: [metrics]}}
steps:
  - window: {tumbling: 10s, by: [host], aggregate: {avg: avg(value)}}
  - alert: {name: High, when: avg > 0.9, summary: "{{ host }} at {{ percent(avg) }}"}
cases:
  - about: one high window
    given: [{at: 0s, host: a, name: cpu, value: 0.95}]
    until: 10s
    expect: {alerts: [{name: High, state: firing, at: 10s, host: b}]}
`))
	results, err := pipelines.RunCases(context.Background(), specs[0], components())
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range results {
		fmt.Println(r)
	}
	// Output:
	// FAIL cpu: one high window
	//        expected High firing at 10s host=b
	//             got High firing at 10s host=a severity=warning "a at 95%"
	//        unexpected High firing at 10s host=a severity=warning "a at 95%"
	//        cpu.yaml:8
}
