// The example provider of zitadel/oidc with one client and the user ann, at an address that a proxy may be before.
//
//	zitadel PORT ISSUER CLIENT_ID SECRET REDIRECT_URI ACCESS_TOKEN_SECONDS USERS_FILE
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The example's storage, whose access tokens are said to live shorter, so that their ends can be waited for.
type brief struct {
	*storage.Storage
	life time.Duration
}

func (s brief) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	access, refresh, _, err := s.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	return access, refresh, time.Now().Add(s.life), err
}

func main() {
	port, issuer, client, secret, redirect := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	seconds, err := strconv.Atoi(os.Args[6])
	if err != nil {
		log.Fatal(err)
	}
	users, err := storage.StoreFromFile(os.Args[7])
	if err != nil {
		log.Fatal(err)
	}
	storage.RegisterClients(storage.WebClient(client, secret, redirect))
	kept := brief{storage.NewStorage(users), time.Duration(seconds) * time.Second}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, exampleop.SetupServer(issuer, kept, nil, false)))
}
