// Package bed is what real runs lie on: real servers, and workers that are processes of the product. The commands show and
// crash share it. A Cluster is used from one goroutine; its workers may be started and killed from one each.
package bed
