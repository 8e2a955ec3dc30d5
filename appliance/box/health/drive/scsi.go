package drive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Log pages (SPC-4 section 7.3).
const (
	pageWriteErrors = 0x02
	pageReadErrors  = 0x03
	pageTemperature = 0x0d
	pageEndurance   = 0x11
	pageExceptions  = 0x2f

	logSize = 512
)

func (h *Health) askSCSI(f *os.File) error {
	answered := false
	for _, page := range []byte{pageExceptions, pageTemperature, pageReadErrors, pageWriteErrors, pageSelfTest, pageEndurance} {
		data := make([]byte, logSize)
		// LOG SENSE, current cumulative values.
		cmd := []byte{0x4d, 0, 0x40 | page, 0, 0, 0, 0, logSize >> 8, logSize & 0xff, 0}
		_, err := sg(f, cmd, data)
		switch {
		case errors.Is(err, errRefused):
			continue
		case err != nil:
			return fmt.Errorf("%s: log page %#x: %w", h.Device, page, err)
		}
		if h.scsiPage(data) == nil {
			answered = true
		}
	}
	if !answered {
		return fmt.Errorf("%s: %w", h.Device, ErrSilent)
	}
	return nil
}

// scsiPage decodes one log page: a header of four octets, then parameters.
func (h *Health) scsiPage(b []byte) error {
	if len(b) < 4 {
		return errors.New("log page cut short")
	}
	page := b[0] & 0x3f
	end := min(4+int(binary.BigEndian.Uint16(b[2:])), len(b))
	if end == 4 {
		return errors.New("log page without parameters")
	}
	for at := 4; at+4 <= end; {
		code, n := binary.BigEndian.Uint16(b[at:]), int(b[at+3])
		if at+4+n > end {
			return errors.New("log page cut short")
		}
		h.scsiParameter(page, code, b[at+4:at+4+n])
		at += 4 + n
	}
	return nil
}

func (h *Health) scsiParameter(page byte, code uint16, v []byte) {
	switch {
	case page == pageExceptions && code == 0 && len(v) >= 3:
		// Additional sense code 5D is a failure predicted; 0B a warning.
		switch v[0] {
		case 0x5d:
			h.fail("it predicts its failure (code 5D/%02X)", v[1])
		case 0x0b:
			h.fail("it warns (code 0B/%02X)", v[1])
		}
		if v[2] != 0 && v[2] != 0xff && h.Celsius == nil {
			h.Celsius = ptr(float64(v[2]))
		}
	case page == pageTemperature && code == 0 && len(v) >= 2 && v[1] != 0xff:
		h.Celsius = ptr(float64(v[1]))
	case page == pageTemperature && code == 1 && len(v) >= 2 && v[1] != 0 && v[1] != 0xff:
		h.CelsiusBad = ptr(float64(v[1])) // the reference temperature: the greatest for continuous work
	case (page == pageReadErrors || page == pageWriteErrors) && code == 6:
		n := number(v) // total uncorrected errors
		if h.Uncorrected != nil {
			n += *h.Uncorrected
		}
		h.Uncorrected = ptr(n)
	case page == pageSelfTest && code == 1:
		h.scsiTest(v)
	case page == pageEndurance && code == 1 && len(v) >= 4:
		h.WearPercent = ptr(float64(v[3]))
	}
}

// number is a big-endian number of any length; what does not fit is the largest.
func number(v []byte) (n int64) {
	for _, b := range v {
		if n >= 1<<55 {
			return 1<<63 - 1
		}
		n = n<<8 | int64(b)
	}
	return n
}
