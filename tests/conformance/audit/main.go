// Verifies a running installation's audit log with code that nobody here wrote: the Go project's own transparency
// log packages (golang.org/x/mod/sumdb/note and tlog). Reads checkpoint, tiles and entry bundles over HTTPS, checks the
// checkpoint's signature, every hash tile against the signed root, and every entry against its hash.
//
//	audit DEV.JSON VERIFIER-KEY-FILE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type installation struct {
	API           string
	CACertificate string
	Clients       map[string]struct{ Certificate, Key string }
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

type log struct {
	client *http.Client
	base   string
	size   int64
}

func (l *log) get(path string) ([]byte, error) {
	answer, err := l.client.Get(l.base + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return body, err
}

// C2SP tlog-tiles numbers: groups of three digits, all but the last with an x; ".p/W" for a partial tile.
func number(n int64, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

func (l *log) Height() int                     { return 8 }
func (l *log) SaveTiles([]tlog.Tile, [][]byte) {}
func (l *log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		body, err := l.get(fmt.Sprintf("/tile/%d/%s", tile.L, number(tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		all = append(all, body)
	}
	return all, nil
}

func parseCheckpoint(text string) (size int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return 0, root, fmt.Errorf("a checkpoint of %d lines", len(lines))
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return 0, root, err
	}
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	if err == nil && copy(root[:], raw) != len(root) {
		err = fmt.Errorf("a root of %d bytes", len(raw))
	}
	return size, root, err
}

func (l *log) checkEntries(hashes tlog.HashReader) (int64, error) {
	var index int64
	for bundle := int64(0); bundle*256 < l.size; bundle++ {
		width := int(min(256, l.size-bundle*256))
		body, err := l.get("/tile/entries/" + number(bundle, width))
		if err != nil {
			return index, err
		}
		for ; len(body) > 0; index++ {
			length := int(binary.BigEndian.Uint16(body))
			entry := body[2 : 2+length]
			body = body[2+length:]
			want, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				return index, err
			}
			if tlog.RecordHash(entry) != want[0] {
				return index, fmt.Errorf("entry %d is not what its hash says", index)
			}
		}
	}
	return index, nil
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func open(path string) *log {
	var where installation
	content, err := os.ReadFile(path)
	check(err)
	check(json.Unmarshal(content, &where))
	ca, err := os.ReadFile(where.CACertificate)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	auditor := where.Clients["auditor"]
	certificate, err := tls.LoadX509KeyPair(auditor.Certificate, auditor.Key)
	check(err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}}
	return &log{client: &http.Client{Transport: transport}, base: where.API + "/v1/audit/log"}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: audit DEV.JSON VERIFIER-KEY-FILE")
		os.Exit(2)
	}
	l := open(os.Args[1])
	line, err := os.ReadFile(os.Args[2])
	check(err)
	verifier, err := note.NewVerifier(strings.TrimSpace(string(line)))
	check(err)
	signed, err := l.get("/checkpoint")
	check(err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(err)
	size, root, err := parseCheckpoint(opened.Text)
	check(err)
	l.size = size
	hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, l)
	count, err := l.checkEntries(hashes)
	check(err)
	if count != size {
		check(fmt.Errorf("%d entries under a checkpoint of %d", count, size))
	}
	fmt.Printf("verified by golang.org/x/mod/sumdb: %d entries, signed by %s\n", count, verifier.Name())
}
