// An HTTP service in Go (net/http) and its client: PUT a body, get its SHA-256.
//
// hash serve PORT
// hash call PORT CONNECTIONS REQUESTS: so many connections at once, each kept for so many requests.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func serve(port int) {
	http.HandleFunc("/hash", func(answer http.ResponseWriter, request *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, request.Body); err != nil {
			log.Print(err)
			return
		}
		fmt.Fprintf(answer, "%x", hash.Sum(nil))
	})
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", port), nil))
}

func call(port, connections, requests int) {
	var all sync.WaitGroup
	var lock sync.Mutex
	count, sent := 0, 0
	for connection := 0; connection < connections; connection++ {
		all.Add(1)
		go func(seed int64) {
			defer all.Done()
			numbers := rand.New(rand.NewSource(seed))
			transport := &http.Transport{MaxConnsPerHost: 1}
			client := http.Client{Transport: transport}
			for request := 0; request < requests; request++ {
				body := make([]byte, numbers.Intn(100000))
				numbers.Read(body)
				put, err := http.NewRequest("PUT", fmt.Sprintf("http://127.0.0.1:%d/hash", port), bytes.NewReader(body))
				if err != nil {
					log.Fatal(err)
				}
				response, err := client.Do(put)
				if err != nil {
					log.Fatal(err)
				}
				answer, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil {
					log.Fatal(err)
				}
				if wanted := fmt.Sprintf("%x", sha256.Sum256(body)); string(answer) != wanted {
					log.Fatalf("%s is not %s", answer, wanted)
				}
				lock.Lock()
				count, sent = count+1, sent+len(body)
				lock.Unlock()
			}
			transport.CloseIdleConnections()
		}(int64(connection))
	}
	all.Wait()
	fmt.Printf("requests %d bytes %d\n", count, sent)
}

func main() {
	var numbers []int
	for _, text := range os.Args[2:] {
		number, err := strconv.Atoi(text)
		if err != nil {
			log.Fatal(err)
		}
		numbers = append(numbers, number)
	}
	if os.Args[1] == "serve" {
		serve(numbers[0])
	} else {
		call(numbers[0], numbers[1], numbers[2])
	}
}
