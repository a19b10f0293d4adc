package postgres

import (
	"context"
	"strings"
	"sync"
	"testing"
)

func TestConcurrentMigrations(t *testing.T) {
	dsn := database(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { open(t, dsn) })
	}
	wg.Wait()
	db := open(t, dsn)
	takeOver(t, db.Claims(), task("x", 0), "a")
	var schemas int
	if err := db.Pool().QueryRow(context.Background(), `SELECT count(*) FROM pg_tables WHERE tablename LIKE 'tidewatch_%' AND schemaname <> 'tidewatch'`).Scan(&schemas); err != nil || schemas != 0 {
		t.Fatal("tables outside of the schema:", schemas, err)
	}
}

func TestTwoSchemasAreApart(t *testing.T) {
	dsn := database(t)
	a, b := open(t, dsn), open(t, dsn, func(c *Config) { c.Schema = "other" })
	claim(t, a.Claims(), next(takeOver(t, a.Claims(), task("x", 0), "a"), "one"))
	if cp := takeOver(t, b.Claims(), task("x", 0), "b"); cp.Epoch != 0 {
		t.Fatal("the row of another schema was found")
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	db := open(t, database(t))
	if _, err := db.Pool().Exec(context.Background(), `INSERT INTO tidewatch_migrations (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(context.Background()); err == nil || !strings.Contains(err.Error(), "version 999") {
		t.Fatal(err)
	}
}

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	db := open(t, database(t))
	const sql = `
SELECT count(*) FILTER (WHERE col_description(c.oid, a.attnum) IS NULL AND c.relkind = 'r'), count(*) FILTER (WHERE obj_description(c.oid) IS NULL), count(*)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'tidewatch'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname <> 'tidewatch_migrations'`
	var columns, tables, all int
	if err := db.Pool().QueryRow(context.Background(), sql).Scan(&columns, &tables, &all); err != nil {
		t.Fatal(err)
	}
	if columns != 0 || tables != 0 || all < 30 {
		t.Fatalf("%d columns and %d tables of %d lack a comment", columns, tables, all)
	}
}
