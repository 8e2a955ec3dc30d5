package drive

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// attributes builds SMART data as a disk would send them.
func attributes(selfTest byte, list ...[4]int64) []byte {
	b := make([]byte, ataSector)
	b[0] = 16
	for i, a := range list {
		p := b[2+i*ataAttrSize:]
		p[0], p[3], p[4] = byte(a[0]), byte(a[2]), byte(a[2])
		binary.LittleEndian.PutUint16(p[1:], uint16(a[1]))
		binary.LittleEndian.PutUint32(p[5:], uint32(a[3]))
		binary.LittleEndian.PutUint16(p[9:], uint16(a[3]>>32))
	}
	b[363] = selfTest
	b[511] = -sum(b[:511])
	return b
}

func thresholds(list ...[2]byte) []byte {
	b := make([]byte, ataSector)
	for i, a := range list {
		b[2+i*ataAttrSize], b[3+i*ataAttrSize] = a[0], a[1]
	}
	return b
}

func TestATA(t *testing.T) {
	for _, tt := range []struct {
		name       string
		data       []byte
		thresholds []byte
		want       Health
	}{
		{"a good disk",
			attributes(0x00, [4]int64{5, 0x33, 100, 0}, [4]int64{9, 0x32, 80, 17543}, [4]int64{194, 0x22, 64, 0x2b_0012_0024}, [4]int64{197, 0x32, 100, 0}, [4]int64{199, 0x3e, 200, 0}),
			thresholds([2]byte{5, 10}),
			Health{Reallocated: ptr(int64(0)), PowerOnHours: ptr(int64(17543)), Celsius: ptr(36.0), Pending: ptr(int64(0)), CableErrors: ptr(int64(0)), SelfTest: SelfTest{Known: true}}},
		{"a dying disk",
			attributes(0x74, [4]int64{5, 0x33, 9, 4096}, [4]int64{187, 0x32, 1, 12}, [4]int64{197, 0x12, 80, 8}, [4]int64{198, 0x10, 80, 16}),
			thresholds([2]byte{5, 10}, [2]byte{187, 0}),
			Health{Failing: true, Reasons: []string{"attribute 5 fell to 9, its threshold is 10"},
				Reallocated: ptr(int64(4096)), Uncorrected: ptr(int64(12)), Pending: ptr(int64(16)), SelfTest: SelfTest{Known: true, Failed: true, Left: 4}}},
		{"an SSD under test, without thresholds",
			attributes(0xf3, [4]int64{9, 0x32, 99, 0x7f_0000_0102}, [4]int64{177, 0x13, 88, 120}, [4]int64{190, 0x32, 70, 30}),
			nil,
			Health{PowerOnHours: ptr(int64(258)), WearPercent: ptr(12.0), Celsius: ptr(30.0), SelfTest: SelfTest{Known: true, Running: true, Left: 3}}},
		{"an attribute that only ages is no failure",
			attributes(0, [4]int64{9, 0x32, 1, 99999}), thresholds([2]byte{9, 10}),
			Health{PowerOnHours: ptr(int64(99999)), SelfTest: SelfTest{Known: true}}},
	} {
		var h Health
		if err := h.ataData(tt.data, tt.thresholds); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", tt.name, h, tt.want)
		}
	}
	bad := attributes(0)
	bad[100]++
	if err := new(Health).ataData(bad, nil); err == nil {
		t.Error("a wrong checksum was taken")
	}
	if err := new(Health).ataData(bad[:100], nil); err == nil {
		t.Error("data cut short were taken")
	}
}

func TestATAStatus(t *testing.T) {
	sense := make([]byte, 22)
	sense[0], sense[1], sense[8], sense[17], sense[19] = 0x72, 1, 0x09, 0x4f, 0xc2
	var h Health
	if h.ataStatus(sense); h.Failing {
		t.Error("a good disk is failing")
	}
	sense[17], sense[19] = 0xf4, 0x2c
	if h.ataStatus(sense); !h.Failing {
		t.Error("the disk's own verdict is lost")
	}
	h = Health{}
	if h.ataStatus(sense[:10]); h.Failing {
		t.Error("a verdict out of nothing")
	}
}

func TestNVMe(t *testing.T) {
	log := make([]byte, nvmeLogSize)
	log[0] = 0b1001
	binary.LittleEndian.PutUint16(log[1:], 273+71)
	log[3], log[4], log[5] = 5, 10, 103
	binary.LittleEndian.PutUint64(log[128:], 8760)
	binary.LittleEndian.PutUint64(log[160:], 3)
	var h Health
	if err := h.nvmeLog(log); err != nil {
		t.Fatal(err)
	}
	ident := make([]byte, nvmeIdentSize)
	binary.LittleEndian.PutUint16(ident[266:], 273+70)
	binary.LittleEndian.PutUint16(ident[268:], 273+80)
	h.nvmeLimits(ident)
	want := Health{Failing: true, Reasons: []string{"few spare blocks are left", "it takes no more writes"}, Celsius: ptr(71.0),
		CelsiusWatch: ptr(70.0), CelsiusBad: ptr(80.0), SparePercent: ptr(5.0), SpareLimit: ptr(10.0), WearPercent: ptr(103.0),
		PowerOnHours: ptr(int64(8760)), Uncorrected: ptr(int64(3))}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v\nwant\n%+v", h, want)
	}
	if err := h.nvmeLog(log[:100]); err == nil {
		t.Error("a log cut short was taken")
	}
}

func TestSCSI(t *testing.T) {
	page := func(code byte, params ...[]byte) []byte {
		b := []byte{code, 0, 0, 0}
		for _, p := range params {
			b = append(b, p...)
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
		return b
	}
	param := func(code uint16, v ...byte) []byte {
		return append([]byte{byte(code >> 8), byte(code), 3, byte(len(v))}, v...)
	}
	var h Health
	for _, p := range [][]byte{
		page(pageTemperature, param(0, 0, 41), param(1, 0, 68)),
		page(pageReadErrors, param(0, 0, 0, 1), param(6, 0, 0, 0, 2)),
		page(pageWriteErrors, param(6, 1)),
		page(pageExceptions, param(0, 0x5d, 0x10, 40)),
		page(pageEndurance, param(1, 0, 0, 0, 17)),
	} {
		if err := h.scsiPage(p); err != nil {
			t.Error(err)
		}
	}
	want := Health{Failing: true, Reasons: []string{"it predicts its failure (code 5D/10)"}, Celsius: ptr(41.0), CelsiusBad: ptr(68.0),
		Uncorrected: ptr(int64(3)), WearPercent: ptr(17.0)}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v\nwant\n%+v", h, want)
	}
	for _, bad := range [][]byte{nil, {0x0d, 0, 0, 0}, {0x0d, 0, 0, 8, 0, 0, 3, 200, 1, 1, 1, 1}} {
		if err := new(Health).scsiPage(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestSelfTests(t *testing.T) {
	log := func(running, percent, result byte) []byte {
		b := make([]byte, nvmeTestSize)
		b[0], b[1], b[4] = running, percent, 0x10|result
		return b
	}
	for _, tt := range []struct {
		name string
		log  []byte
		want SelfTest
	}{
		{"never", log(0, 0, 0xf), SelfTest{}},
		{"well", log(0, 0, 0), SelfTest{Known: true}},
		{"running", log(1, 40, 0), SelfTest{Known: true, Running: true, Left: 6}},
		{"stopped by a command", log(0, 0, 1), SelfTest{Known: true}},
		{"failed", log(0, 0, 7), SelfTest{Known: true, Failed: true}},
	} {
		var h Health
		if err := h.nvmeTest(tt.log); err != nil || h.SelfTest != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, h.SelfTest, err)
		}
	}
	if err := new(Health).nvmeTest(nil); err == nil {
		t.Error("a log cut short was taken")
	}
	for b, want := range map[byte]SelfTest{
		0x00: {}, 0x20: {Known: true}, 0x2f: {Known: true, Running: true}, 0x41: {Known: true}, 0x47: {Known: true, Failed: true},
	} {
		var h Health
		if h.scsiParameter(pageSelfTest, 1, make([]byte, 16)); h.SelfTest != (SelfTest{}) {
			t.Errorf("a test that never was: %+v", h.SelfTest)
		}
		if h.scsiParameter(pageSelfTest, 1, append([]byte{b}, make([]byte, 15)...)); h.SelfTest != want {
			t.Errorf("%#x: %+v, want %+v", b, h.SelfTest, want)
		}
		if h.scsiParameter(pageSelfTest, 2, append([]byte{0x47}, make([]byte, 15)...)); h.SelfTest != want {
			t.Error("an older test counts")
		}
	}
}

// A stick is asked nothing: there is none of this name under /dev, and no error.
func TestSticksAreLeftAlone(t *testing.T) {
	sys := t.TempDir()
	disk := filepath.Join(sys, "devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdzz")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(sys, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(disk, filepath.Join(sys, "block/sdzz")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(sys, "sdzz"); !errors.Is(err, ErrSilent) {
		t.Errorf("read: %v", err)
	}
	if err := StartSelfTest(sys, "sdzz", false); !errors.Is(err, ErrSilent) {
		t.Errorf("self-test: %v", err)
	}
	if _, err := Read(sys, "sdyy"); err == nil || errors.Is(err, ErrSilent) {
		t.Errorf("a disk that is not there: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(attributes(0, [4]int64{5, 1, 1, 1}), thresholds([2]byte{5, 1}))
	f.Add([]byte{0x0d, 0, 0, 6, 0, 0, 3, 2, 0, 41}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var h Health
		_ = h.ataData(a, b)
		_ = h.nvmeLog(a)
		h.nvmeLimits(a)
		_ = h.scsiPage(a)
		h.ataStatus(a)
		if h.Failing && len(h.Reasons) == 0 {
			t.Error("failing without a reason")
		}
	})
}
