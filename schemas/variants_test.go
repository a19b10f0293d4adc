package schemas

import (
	"fmt"
	"strings"
)

// variants are 4,096 events like this one, with other values, hosts and users of other lengths.
func variants(event string) [][]byte {
	all := make([][]byte, 4096)
	for i := range all {
		r := strings.NewReplacer(
			"1795409200250", fmt.Sprint(1795409200250+i),
			"12.512", fmt.Sprintf("%.*f", i%4+1, 0.37*float64(i)+1),
			"t7", fmt.Sprintf("t%d", i%40),
			"svc-107", fmt.Sprintf("svc-%d", i%300),
			"host-107", fmt.Sprintf("host-%d", i*7%2000),
			"10.3.77.7", fmt.Sprintf("10.3.%d.%d", i%256, i%200),
			"ada", fmt.Sprintf("user%d", i*13%1500),
			"203.0.113.7", fmt.Sprintf("203.0.113.%d", i%256),
			"0.250Z", fmt.Sprintf("0.%03dZ", i%1000),
		)
		all[i] = []byte(r.Replace(event))
	}
	return all
}
