package store

import "errors"

// opMessages is how many messages one op changes. A larger change is several
// ops after each other, so that it fits a transaction and lets others in
// between.
const opMessages = 1000

// errOpTooBig means that an op does not fit a transaction.
var errOpTooBig = errors.New("store: change does not fit a transaction")

// inParts calls do with a list part by part, n at a time, once at least. A part
// that proves too big (messages with very many long keywords) is cut again.
func inParts[T any](list []T, n int, do func(part []T) error) error {
	for first := true; first || len(list) > 0; first = false {
		part := list[:min(n, len(list))]
		err := do(part)
		if errors.Is(err, errOpTooBig) && len(part) > 1 {
			n = len(part) / 2
			continue
		}
		if err != nil {
			return err
		}
		list = list[len(part):]
	}
	return nil
}
