// Receives both webhooks of plate-detect with net/http. Large uploads go to disk while they arrive.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	tolerance   = 5 * time.Minute
	memoryBytes = 32 << 20
	maxBytes    = 1 << 30
)

var (
	taskID     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	unsafeName = regexp.MustCompile(`^\.{0,2}$|[\x00-\x1f\x7f/\\]`)
	folder     = setting("IMAGES_FOLDER", "images")
	field      = setting("WEBHOOK_IMAGES_FIELD", "images")
	keys       = secrets(os.Getenv("WEBHOOK_SECRET"))
)

// The webhook is not genuine: respond with 401.
var errNotGenuine = errors.New("not a webhook of the service")

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// One secret, or several separated by commas while it is changed.
func secrets(text string) [][]byte {
	var found [][]byte
	for _, secret := range strings.Split(text, ",") {
		secret = strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"), "=")
		key, err := base64.RawStdEncoding.DecodeString(secret)
		if err != nil || len(key) == 0 {
			log.Fatal("WEBHOOK_SECRET is empty or not base64")
		}
		found = append(found, key)
	}
	return found
}

// Signed is the body of a callback, or the manifest of an upload.
func verify(header http.Header, signed string) error {
	id, sent := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || math.Abs(time.Since(time.Unix(seconds, 0)).Seconds()) > tolerance.Seconds() {
		return errNotGenuine
	}
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, sent, signed)
		expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
			if hmac.Equal([]byte(signature), []byte(expected)) {
				return nil
			}
		}
	}
	return errNotGenuine
}

// Verifies an upload, and returns the id of its task.
func verifyUpload(header http.Header, form *multipart.Form) (string, error) {
	id := strings.Join(form.Value["task_id"], " ")
	// The manifest is text: an id or a name with a line break could pass for other lines of it.
	if !taskID.MatchString(id) || len(form.File[field]) == 0 {
		return "", errNotGenuine
	}
	lines, names := []string{id}, map[string]bool{}
	for _, image := range form.File[field] {
		if unsafeName.MatchString(image.Filename) || names[image.Filename] {
			return "", errNotGenuine
		}
		names[image.Filename] = true
		file, err := image.Open()
		if err != nil {
			return "", err
		}
		digest := sha256.New()
		_, err = io.Copy(digest, file)
		file.Close()
		if err != nil {
			return "", err
		}
		lines = append(lines, image.Filename+" "+hex.EncodeToString(digest.Sum(nil)))
	}
	return id, verify(header, strings.Join(lines, "\n"))
}

// Writes a file that nobody sees before it is complete.
func store(into, name string, content io.Reader) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(into, ".*.part")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = io.Copy(part, content)
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(into, name))
}

func upload(request *http.Request) error {
	if err := request.ParseMultipartForm(memoryBytes); err != nil {
		return err
	}
	defer request.MultipartForm.RemoveAll()
	id, err := verifyUpload(request.Header, request.MultipartForm)
	if err != nil {
		return err
	}
	for _, image := range request.MultipartForm.File[field] {
		file, err := image.Open()
		if err != nil {
			return err
		}
		err = store(filepath.Join(folder, id), image.Filename, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func callback(request *http.Request) error {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	if err := verify(request.Header, string(body)); err != nil {
		return err
	}
	var state struct {
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(body, &state); err != nil || !taskID.MatchString(state.TaskID) {
		return errNotGenuine
	}
	return store(folder, state.TaskID+".json", strings.NewReader(string(body)))
}

// Refuses what is not signed before its body is read, and turns errors into statuses.
func signed(handle func(*http.Request) error) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		err := errNotGenuine
		if request.Method == http.MethodPost && request.Header.Get("webhook-signature") != "" {
			request.Body = http.MaxBytesReader(response, request.Body, maxBytes)
			err = handle(request)
		}
		switch {
		case err == nil:
			response.WriteHeader(http.StatusNoContent)
		case errors.Is(err, errNotGenuine):
			http.Error(response, err.Error(), http.StatusUnauthorized)
		default:
			log.Print(err)
			http.Error(response, "not stored", http.StatusInternalServerError)
		}
	}
}

func main() {
	http.HandleFunc("/plates/upload", signed(upload))
	http.HandleFunc("/plates/callback", signed(callback))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+setting("PORT", "8001"), nil))
}
