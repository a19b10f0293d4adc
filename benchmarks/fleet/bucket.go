package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// priced counts HTTP requests to S3 by what they cost: PUT, COPY, POST and LIST one price, GET and HEAD another, DELETE nothing.
type priced struct {
	Writes float64 `json:"writes"`
	Reads  float64 `json:"reads"`
	Free   float64 `json:"free"`
}

func (p priced) plus(q priced, times float64) priced {
	return priced{p.Writes + times*q.Writes, p.Reads + times*q.Reads, p.Free + times*q.Free}
}

// priceOf is the class of one request.
func priceOf(r *http.Request) priced {
	switch {
	case r.Method == http.MethodDelete:
		return priced{Free: 1}
	case r.Method == http.MethodHead, r.Method == http.MethodGet && !r.URL.Query().Has("list-type"):
		return priced{Reads: 1}
	}
	return priced{Writes: 1}
}

// requestsOfCalls asks a real S3 server how many HTTP requests each call to the object store takes.
func requestsOfCalls(ctx context.Context) (_ map[op]priced, err error) {
	server, err := testservers.StartS3(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	bucket, err := server.CreateBucket(ctx, "fleet")
	if err != nil {
		return nil, err
	}
	return requestsTo(ctx, bucket)
}

// requestsTo uses a bucket.
func requestsTo(ctx context.Context, bucket testservers.Bucket) (all map[op]priced, err error) {
	p, err := startProxy(ctx, bucket.Endpoint)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	store, err := objects.Open(ctx, objects.Config{
		URL: "s3://" + bucket.Bucket + "/fleet", Endpoint: p.endpoint, Region: bucket.Region, AccessKey: bucket.AccessKey, SecretKey: bucket.SecretKey,
	})
	if err != nil {
		return nil, err
	}
	nothing := func(stream.Object) error { return nil }
	all = map[op]priced{}
	for _, c := range []struct {
		op  op
		run func() error
	}{
		{opPut, func() error { return store.Put(ctx, "staged/a", make([]byte, 1<<10)) }},
		{opCopy, func() error { return store.Copy(ctx, "staged/a", "visible/a") }},
		{opGet, func() error { _, err := store.Get(ctx, "visible/a"); return err }},
		{opList, func() error { return store.List(ctx, "staged/", nothing) }},
		{opDelete, func() error { return store.Delete(ctx, "staged/a") }},
	} {
		before := p.counts()
		if err := c.run(); err != nil {
			return nil, fmt.Errorf("count requests of %s: %w", c.op, err)
		}
		if all[c.op] = p.counts().plus(before, -1); all[c.op] == (priced{}) {
			return nil, fmt.Errorf("count requests of %s: there were none", c.op)
		}
	}
	return all, nil
}

// proxy stands before an S3 server and counts requests.
type proxy struct {
	endpoint            string
	server              *http.Server
	writes, reads, free atomic.Int64
}

func startProxy(ctx context.Context, to string) (*proxy, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("read endpoint: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	p := &proxy{endpoint: "http://" + listener.Addr().String()}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := priceOf(r)
		p.writes.Add(int64(n.Writes))
		p.reads.Add(int64(n.Reads))
		p.free.Add(int64(n.Free))
		forward.ServeHTTP(w, r)
	})}
	go func() { _ = p.server.Serve(listener) }() // until close
	return p, nil
}

func (p *proxy) counts() priced {
	return priced{float64(p.writes.Load()), float64(p.reads.Load()), float64(p.free.Load())}
}

func (p *proxy) close() error { return p.server.Close() }
