package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages", Args: cobra.ExactArgs(1),
		Long: "Writes a manual page for every command into a folder, which is created if need be. The date on them is that of\n" +
			"SOURCE_DATE_EPOCH, if it is set.",
		Example: "  tidewatch man ~/.local/share/man/man1 && man tidewatch-query",
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("create folder of manual pages: %w", err)
			}
			root := c.Root()
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Source: "tidewatch " + version, Manual: "Tidewatch"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			a.say("the manual pages are in " + args[0])
			return nil
		},
	}
}

// helpCommand is help as a command, beside the flag of all commands.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND …]", Short: "Explain a command",
		Long:    "Explains a command, its flags, and shows an example; as --help does.",
		Example: "  tidewatch help query\n  tidewatch help alert ls",
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || found == nil || len(rest) > 0 {
				return fail(exitUsage, fmt.Errorf("there is no command %q; see tidewatch --help", strings.Join(args, " ")))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			found, _, err := c.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, sub := range found.Commands() {
				if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), typed) {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
