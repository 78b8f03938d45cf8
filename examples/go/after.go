// Runs a workflow on ComfyUI, waits until it is done, and saves the pictures. Needs Go alone.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const server = "http://127.0.0.1:8187"

// Core nodes without a model, so that any ComfyUI can run it.
const workflow = `{
	"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3829413}},
	"2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}}
}`

type image struct {
	Filename  string `json:"filename"`
	Subfolder string `json:"subfolder"`
	Type      string `json:"type"`
}

type entry struct {
	Status struct {
		Text string `json:"status_str"`
	} `json:"status"`
	Outputs map[string]struct {
		Images []image `json:"images"`
	} `json:"outputs"`
}

func main() {
	var submitted struct {
		ID string `json:"prompt_id"`
	}
	body := strings.NewReader(`{"prompt": ` + workflow + `}`)
	answer, err := http.Post(server+"/prompt", "application/json", body)
	read(whole(answer, err), &submitted)

	var job entry
	for done := false; !done; {
		time.Sleep(500 * time.Millisecond)
		history := map[string]entry{}
		read(get("/history/"+submitted.ID), &history)
		job, done = history[submitted.ID]
	}

	fmt.Println(job.Status.Text)
	for _, node := range job.Outputs {
		for _, image := range node.Images {
			save(image)
		}
	}
}

func save(image image) {
	query := url.Values{"filename": {image.Filename}, "subfolder": {image.Subfolder}, "type": {image.Type}}
	picture := get("/view?" + query.Encode())
	if err := os.WriteFile(image.Filename, picture, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d bytes\n", image.Filename, len(picture))
}

func get(path string) []byte {
	return whole(http.Get(server + path))
}

func whole(answer *http.Response, err error) []byte {
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", answer.Request.URL, answer.Status)
	}
	return body
}

func read(body []byte, value any) {
	if err := json.Unmarshal(body, value); err != nil {
		log.Fatal(err)
	}
}
