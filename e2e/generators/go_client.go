// Reads accounts with the client that openapi_generator_go.py builds. Arguments and output are those of clients.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"khata"
)

func main() {
	settings := khata.NewConfiguration()
	settings.Servers = khata.ServerConfigurations{{URL: os.Getenv("KHATA_API_URL")}}
	key := khata.BasicAuth{UserName: os.Getenv("KHATA_API_KEY")}
	call := context.WithValue(context.Background(), khata.ContextBasicAuth, key)
	api := khata.NewAPIClient(settings).CustomerAccountsAPI
	customer, ids := os.Args[1], os.Args[2:]
	accounts := []khata.CustomerAccount{}
	for _, id := range ids[:len(ids)-1] {
		account, _, err := api.GetAccount(call, customer, id).Execute()
		if err != nil {
			fail(err)
		}
		accounts = append(accounts, *account)
	}
	_, _, err := api.GetAccount(call, customer, ids[len(ids)-1]).Execute()
	var refused *khata.GenericOpenAPIError
	if !errors.As(err, &refused) {
		fail(fmt.Errorf("the unknown account: %v", err))
	}
	reply, isError := refused.Model().(khata.Error)
	if !isError {
		fail(fmt.Errorf("the unknown account: %s", refused.Body()))
	}
	code := reply.ErrorInfo.Code
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"accounts": accounts, "refused": code}); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
