// Go's own form parser: prints what it reads of each upload as a line of JSON.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
)

func receive(response http.ResponseWriter, request *http.Request) {
	if err := request.ParseMultipartForm(1 << 30); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	images := [][2]string{}
	for _, part := range request.MultipartForm.File[os.Getenv("IMAGES_FIELD")] {
		file, err := part.Open()
		if err != nil {
			panic(err)
		}
		content, err := io.ReadAll(file)
		if err != nil {
			panic(err)
		}
		digest := sha256.Sum256(content)
		images = append(images, [2]string{part.Filename, hex.EncodeToString(digest[:])})
	}
	headers := map[string]string{}
	for name := range request.Header {
		headers[strings.ToLower(name)] = request.Header.Get(name)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"task_id": request.FormValue("task_id"), "images": images, "headers": headers,
	})
}

// Without reading what is sent.
func refuse(response http.ResponseWriter, _ *http.Request) {
	response.WriteHeader(http.StatusUnauthorized)
}

func main() {
	http.HandleFunc("/hook", receive)
	http.HandleFunc("/refuse", refuse)
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
