package testservers

import "testing"

func TestFreeAddressesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		address, err := FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s was given twice", address)
		}
		seen[address] = true
	}
}
