// Verifies a delivery of the gateway. Go 1.19 or later, nothing but the standard library.
//
//	WEBHOOK_SECRET=… go run main.go 'x-openclaw-signature: sha256=…' 'webhook-id: …' … < body
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

func sign(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// Verify says no unless body (exactly as it came) was sent by whoever has secret, just now.
// Afterwards remember header.Get("webhook-id"): a repeat has the same.
func Verify(header http.Header, body []byte, secret string, now time.Time) error {
	// Over the body alone, with the secret as it is written.
	code := "sha256=" + hex.EncodeToString(sign([]byte(secret), body))
	if !hmac.Equal([]byte(code), []byte(header.Get("X-OpenClaw-Signature"))) {
		return errors.New("X-OpenClaw-Signature does not match")
	}

	// Standard Webhooks: over id, time and body, so that an old request cannot be sent again.
	timestamp := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseUint(timestamp, 10, 62)
	if err != nil || now.Sub(time.Unix(int64(seconds), 0)).Abs() > tolerance {
		return errors.New("webhook-timestamp is missing, or too far away")
	}
	key := []byte(secret)
	if strings.HasPrefix(secret, "whsec_") {
		text := strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")
		if key, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return errors.New("what follows whsec_ is no base64")
		}
	}
	prefix := header.Get("webhook-id") + "." + timestamp + "."
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(sign(key, []byte(prefix), body)))
	// While a secret is rotated there is one signature for each of two.
	for _, one := range strings.Split(header.Get("webhook-signature"), " ") {
		if hmac.Equal(expected, []byte(one)) {
			return nil
		}
	}
	return errors.New("webhook-signature does not match")
}

func main() {
	header := http.Header{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, ":")
		header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	body, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = Verify(header, body, os.Getenv("WEBHOOK_SECRET"), time.Now())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println("verified")
}
