package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
)

func (a *app) tokenCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "token", Short: "Make, list and remove the tokens that the API asks for",
		Long: "Works on the file of http.tokens, which holds the names, roles and hashes of tokens. A server that runs with the file sees\n" +
			"a change of it within " + pipelines.FormatDuration(serve.TokensEvery) + ", with no restart. On loopback without http.tokens nobody is asked for a token.",
		Example: "  tidewatch token add ada --role read,ack\n  tidewatch token ls\n  tidewatch token rm ada",
	}
	c.PersistentFlags().StringVar(&file, "file", "", "file of tokens; default http.tokens of the configuration")
	c.AddCommand(a.tokenAdd(&file), a.tokenList(&file), a.tokenRemove(&file))
	return c
}

func (a *app) tokenAdd(file *string) *cobra.Command {
	var roles []string
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a token, and print it this once", Args: cobra.ExactArgs(1),
		Long: "Makes a random token for a person or a program and prints it. The file gets its hash, so it cannot be shown again. NAME\n" +
			"is what acknowledgements say. Roles: read sees everything; ack reads and acknowledges alerts; write submits metrics; admin\n" +
			"may do all of it. A new file is for this user only; one that exists keeps its owner, and others never read it.",
		Example: "  tidewatch token add ada --role read,ack\n  tidewatch token add collector --role write > collector.token\n" +
			"  tidewatch token add ci --file /etc/tidewatch/tokens.yaml -o json",
		RunE: func(_ *cobra.Command, args []string) error { return a.addToken(*file, args[0], roles) },
	}
	c.Flags().StringSliceVar(&roles, "role", []string{string(serve.RoleRead)}, "what it may do: "+strings.Join(textsOf(serve.Roles()), ", "))
	return c
}

// tokenName is what goes into acknowledgements, logs and YAML without further ado.
var tokenName = regexp.MustCompile(`^[\pL\pN][\pL\pN._@-]{0,63}$`)

func (a *app) addToken(given, name string, texts []string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if !tokenName.MatchString(name) {
		return fail(exitUsage, fmt.Errorf("%q is no name for a token: use up to 64 letters, digits and . _ - @", name))
	}
	var roles []serve.Role
	for _, text := range texts {
		r := serve.Role(text)
		if !slices.Contains(serve.Roles(), r) {
			return fail(exitUsage, fmt.Errorf("--role %s: there are %s", text, strings.Join(textsOf(serve.Roles()), ", ")))
		}
		if !slices.Contains(roles, r) {
			roles = append(roles, r)
		}
	}
	file, err := a.tokensFile(given)
	if err != nil {
		return err
	}
	t, secret := serve.NewToken(name, roles...)
	err = changeFile(file, func(text []byte) ([]byte, error) {
		if all, err := serve.ParseTokens(text); err == nil && tokenNamed(all, name) >= 0 {
			return nil, fail(exitConflict, fmt.Errorf("%s holds a token %s: choose another name, or remove it with tidewatch token rm %s", file, name, name))
		}
		text, err := serve.AddToken(text, t)
		if err != nil {
			err = fail(exitUsage, fmt.Errorf("add a token to %s: %w", file, err))
		}
		return text, err
	})
	if err != nil {
		return err
	}
	a.say(fmt.Sprintf("%s has the hash of %s; the token is shown this once", file, name))
	if c, _ := a.load(); c.HTTP.Tokens != file {
		a.say("http.tokens of the configuration is to name this file; then start the server anew")
	}
	if a.output == "table" {
		_, err = fmt.Fprintln(a.out, secret)
		return err
	}
	l := &listing{columns: []string{"name", "roles", "token"}}
	l.add(map[string]any{"name": name, "roles": roles, "token": secret}, name, strings.Join(textsOf(roles), ","), secret)
	return a.print(l)
}

func tokenNamed(all []serve.Token, name string) int {
	return slices.IndexFunc(all, func(t serve.Token) bool { return t.Name == name })
}

// tokensFile is the file of --file, else that of the configuration.
func (a *app) tokensFile(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	c, err := a.load()
	switch {
	case c.HTTP.Tokens != "":
		return c.HTTP.Tokens, nil
	case err != nil && a.configName() != "":
		return "", err
	}
	return "", fail(exitUsage, errors.New("http.tokens of the configuration names no file of tokens: set it, or say which with --file tokens.yaml"))
}

func (a *app) tokenList(file *string) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the tokens: names and roles", Args: cobra.NoArgs,
		Long:    "Lists who has a token, and what it may do. The tokens themselves are not known.",
		Example: "  tidewatch token ls\n  tidewatch token ls --file /etc/tidewatch/tokens.yaml -o json",
		RunE: func(*cobra.Command, []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			all, err := a.tokens(*file)
			if err != nil {
				return err
			}
			l := &listing{columns: []string{"name", "roles"}}
			for _, t := range all {
				l.add(map[string]any{"name": t.Name, "roles": t.Roles}, t.Name, strings.Join(textsOf(t.Roles), ","))
			}
			return a.print(l)
		},
	}
}

func (a *app) tokens(given string) ([]serve.Token, error) {
	file, err := a.tokensFile(given)
	if err != nil {
		return nil, err
	}
	all, err := serve.LoadTokens(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fail(exitNotFound, fmt.Errorf("%w; tidewatch token add NAME makes it", err))
	}
	return all, fail(exitUsage, err)
}

func (a *app) tokenRemove(file *string) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a token", Args: cobra.ExactArgs(1),
		Long: "Removes a token: who shows it is refused from then on. The last one stays, since a server must ask for something; to ask\n" +
			"for none, let the server listen on loopback, without http.tokens.",
		Example: "  tidewatch token rm ada",
		RunE:    func(_ *cobra.Command, args []string) error { return a.removeToken(*file, args[0]) },
	}
}

func (a *app) removeToken(given, name string) error {
	if _, err := a.tokens(given); err != nil { // before a lock is made beside a file that is not there
		return err
	}
	file, err := a.tokensFile(given)
	if err != nil {
		return err
	}
	err = changeFile(file, func(text []byte) ([]byte, error) {
		all, err := serve.ParseTokens(text)
		if err != nil {
			return nil, fail(exitUsage, fmt.Errorf("read %s: %w", file, err))
		}
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		switch {
		case tokenNamed(all, name) < 0:
			return nil, fail(exitNotFound, fmt.Errorf("%s holds no token %s; it holds %s", file, name, strings.Join(names, ", ")))
		case len(all) == 1:
			return nil, fail(exitConflict, fmt.Errorf("%s is the only token of %s, and a server must ask for something: add another one first", name, file))
		}
		text, err = serve.RemoveToken(text, name)
		if err != nil {
			err = fail(exitUsage, fmt.Errorf("remove a token of %s: %w", file, err))
		}
		return text, err
	})
	if err == nil {
		a.say(fmt.Sprintf("%s is no token of %s any more; servers that run with it refuse it within %s", name, file, pipelines.FormatDuration(serve.TokensEvery)))
	}
	return err
}

// changeFile replaces what a file holds in one step, so that nobody reads a part of it. The new file beside it keeps others from
// changing it at the same time: one of two changes would be lost.
func changeFile(path string, change func([]byte) ([]byte, error)) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fail(exitConflict, fmt.Errorf("somebody changes %s at this moment: try again; if nobody does, a change was cut short: delete %s", path, next))
	}
	if err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	err = fillNext(f, path, change)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}

// fillNext writes what comes in place of the file at path. Whom that belongs to keeps it, a group that reads it still does, and
// others never do.
func fillNext(f *os.File, path string, change func([]byte) ([]byte, error)) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("change %s: %w", path, err)
	}
	text, err := change(old)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil {
		const group = 0o040
		err := f.Chmod(0o600 | info.Mode().Perm()&group)
		if s, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
			err = f.Chown(int(s.Uid), int(s.Gid))
		}
		if err != nil {
			return fmt.Errorf("keep the owner of %s: %w; run this as its owner", path, err)
		}
	}
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	return nil
}
