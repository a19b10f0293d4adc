// Package chromium drives a Chromium without a window, for tests of the page and for pictures of it. It speaks the DevTools
// protocol over one WebSocket, and knows of it only what pages are driven by: go somewhere, evaluate, keys and mouse, size
// and colour scheme, pictures, and what the page asked the network and wrote to the console.
package chromium
