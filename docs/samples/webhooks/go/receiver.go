// Receives Khata's webhooks. Needs Go 1.18 or later, and no module.
//
//	KHATA_WEBHOOK_SECRET=whsec_… PORT=3000 go run receiver.go
//
// docs/webhooks.md explains the rules.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
	tolerance = 5 * 60
	maxBody   = 1 << 20
)

type event struct {
	Name    string `json:"event_name"`
	Content struct {
		Account *struct {
			ID      string `json:"id"`
			Status  string `json:"status"`
			Version int    `json:"version"`
		} `json:"customer_account"`
	} `json:"content"`
}

type receiver struct {
	key []byte
	// A restart forgets both maps. Keep them in your database, in the transaction that stores the event:
	// ../python/receiver.py.
	mutex    sync.Mutex
	received map[string]bool
	versions map[string]int
}

// verify checks the signature of the bytes that were received.
func (r *receiver) verify(header http.Header, body []byte, now time.Time) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || seconds < now.Unix()-tolerance || seconds > now.Unix()+tolerance {
		return errors.New("webhook-timestamp is missing, or differs from our clock by more than five minutes")
	}
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	expected := mac.Sum(nil)
	// While Khata replaces a secret, the header has a signature of each.
	for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
		version, value, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(value)
		if version == "v1" && err == nil && hmac.Equal(given, expected) {
			return nil
		}
	}
	return errors.New("no signature matches: see \"My signature does not match\" in docs/webhooks.md")
}

// record keeps what the event says, once. It returns a line for the log.
func (r *receiver) record(id string, event event) string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.received[id] {
		return id + " received before"
	}
	r.received[id] = true
	account := event.Content.Account
	if account == nil {
		return id + " " + event.Name
	}
	if account.Version <= r.versions[account.ID] {
		return id + " older than the version that we have"
	}
	r.versions[account.ID] = account.Version
	return fmt.Sprintf("%s %s %s version %d", id, event.Name, account.ID, account.Version)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	if err := r.verify(request.Header, body, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	// Only now the bytes are parsed.
	var event event
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	line := r.record(request.Header.Get("webhook-id"), event)
	// Khata waits ten seconds: reply now, and do slow work afterwards.
	w.WriteHeader(http.StatusNoContent)
	fmt.Println(line)
}

func main() {
	secret := strings.TrimPrefix(os.Getenv("KHATA_WEBHOOK_SECRET"), "whsec_")
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(key) < 24 {
		log.Fatal("set KHATA_WEBHOOK_SECRET to the endpoint's secret: whsec_ and base64 of at least 24 bytes")
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, &receiver{key: key, received: map[string]bool{}, versions: map[string]int{}}))
}
