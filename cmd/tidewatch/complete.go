package main

import "github.com/spf13/cobra"

func (a *app) completeOutputs(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
