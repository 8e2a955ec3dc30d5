package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of octets, written as "5GiB", "500 MB" or "1048576". In TOML
// and JSON it is a string of that form or a plain number.
type Size int64

// units from the largest to the smallest, the binary ones first so that String
// uses them.
func units() []struct {
	name string
	size int64
} {
	return []struct {
		name string
		size int64
	}{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
	}
}

// ParseSize reads a size: digits, optionally with a fraction, and a unit (KiB,
// MiB, GiB, TiB in powers of 1024; KB, MB, GB, TB in powers of 1000; none or B
// for octets) in any case.
func ParseSize(s string) (Size, error) {
	errForm := errors.New(`must be a size such as "5GiB" or "500MB"`)
	text := strings.ToLower(strings.TrimSpace(s))
	unit := int64(1)
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(text, strings.ToLower(u.name)); ok {
			text, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	for i := range len(text) { // no signs, exponents, infinities
		if (text[i] < '0' || text[i] > '9') && text[i] != '.' {
			return 0, errForm
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n > math.MaxInt64/unit {
			return 0, errors.New("must be a size below 8 EiB")
		}
		return Size(n * unit), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errForm
	}
	if f *= float64(unit); f >= math.MaxInt64 {
		return 0, errors.New("must be a size below 8 EiB")
	}
	return Size(f), nil
}

// UnmarshalText makes Size a string in TOML and JSON.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := ParseSize(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// String is the shortest exact form with a unit, such as 5GiB; "0" for none.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for _, u := range units() {
		if int64(s)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
