// Verifies checkpoints and proofs of an audit trail by libraries that know nothing of Tenantry.
// Usage: verify FOLDER, with the files keys, first, second, inclusion.json and consistency.json.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

type checkpoint struct {
	size uint64
	root []byte
}

func main() {
	if err := verify(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("verified")
}

func verify(folder string) error {
	keys, err := os.ReadFile(filepath.Join(folder, "keys"))
	if err != nil {
		return err
	}
	var verifiers []note.Verifier
	for _, line := range strings.Fields(string(keys)) {
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, verifier)
	}
	first, err := open(filepath.Join(folder, "first"), verifiers)
	if err != nil {
		return err
	}
	second, err := open(filepath.Join(folder, "second"), verifiers)
	if err != nil {
		return err
	}
	var inclusion struct {
		Index, Size uint64
		Leaf        []byte
		Hashes      [][]byte
	}
	if err := read(filepath.Join(folder, "inclusion.json"), &inclusion); err != nil {
		return err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(inclusion.Leaf)
	if err := proof.VerifyInclusion(
		rfc6962.DefaultHasher, inclusion.Index, second.size, leaf, inclusion.Hashes, second.root,
	); err != nil {
		return err
	}
	var consistency struct{ Hashes [][]byte }
	if err := read(filepath.Join(folder, "consistency.json"), &consistency); err != nil {
		return err
	}
	return proof.VerifyConsistency(
		rfc6962.DefaultHasher, first.size, second.size, consistency.Hashes, first.root, second.root,
	)
}

func open(path string, verifiers []note.Verifier) (*checkpoint, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signed, err := note.Open(data, note.VerifierList(verifiers...))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 3 {
		return nil, fmt.Errorf("%s is no checkpoint", path)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	return &checkpoint{size, root}, err
}

func read(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
