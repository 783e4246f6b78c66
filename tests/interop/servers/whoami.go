// What stands in for traefik/whoami: it answers with the request that it got.
package main

import (
	"flag"
	"fmt"
	"net/http"
)

func main() {
	port := flag.Int("port", 80, "where it listens")
	flag.Parse()
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		fmt.Fprintln(response, request.Method, request.URL)
		request.Header.Write(response)
	})
	panic(http.ListenAndServe(fmt.Sprintf(":%d", *port), nil))
}
