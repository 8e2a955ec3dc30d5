package backup

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// ageIntro begins every age file.
const ageIntro = "age-encryption.org/"

// Encrypt encrypts what is written to the writer it gives, for those who have
// an identity of one of the recipients. Close ends the file; it does not close w.
func Encrypt(w io.Writer, recipients ...age.Recipient) (io.WriteCloser, error) {
	out, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, fmt.Errorf("backup: encrypt: %w", err)
	}
	return out, nil
}

// Decrypt gives the backup in a file that may be encrypted, armoured or not;
// one that is not encrypted passes as it is.
func Decrypt(in io.Reader, identities ...age.Identity) (io.Reader, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	start, err := b.Peek(len(armor.Header))
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("backup: read: %w", err)
	}
	var file io.Reader = b
	switch {
	case strings.HasPrefix(string(start), armor.Header):
		file = armor.NewReader(b)
	case !strings.HasPrefix(string(start), ageIntro):
		return b, nil
	}
	if len(identities) == 0 {
		return nil, fmt.Errorf("backup: the file is encrypted: %w", &age.NoIdentityMatchError{})
	}
	out, err := age.Decrypt(file, identities...)
	if err != nil {
		return nil, fmt.Errorf("backup: decrypt: %w", err)
	}
	return out, nil
}
