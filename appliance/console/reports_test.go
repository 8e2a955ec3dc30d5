package console

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestReport(t *testing.T) {
	de, err := LoadCatalogue("de")
	if err != nil {
		t.Fatal(err)
	}
	en, err := LoadCatalogue("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ said, want string }{
		{"", ""},
		{"The mains have failed; the box runs from the UPS battery. About 21 minutes are left. Bring the mains back, or let the box switch off.",
			"Der Netzstrom ist ausgefallen; die Box läuft von der Batterie der USV. Etwa 21 Minuten bleiben. Stellen Sie den Netzstrom wieder her, oder lassen Sie die Box abschalten."},
		{"What it does is not done now. It is started again by itself when it ends.", "Was er tut, geschieht jetzt nicht. Er startet von selbst neu, wenn er endet."},
		{"What it does is not done now. Nobody translated this. Warm the room.", "Was er tut, geschieht jetzt nicht. Nobody translated this. Heizen Sie den Raum."},
		{"It is too hot: Air inlet has 90 °C, the limit is 75 °C.", "Es ist zu heiß: Air inlet hat 90 °C, die Grenze ist 75 °C."},
		{"It is too hot: the temperature of disk sda (ACME) has 60 °C, the limit is 55 °C.", "Es ist zu heiß: Temperatur der Platte sda (ACME) hat 60 °C, die Grenze ist 55 °C."},
		{"Used space of the mail volume: 86 %, the limit is 85 %. When the disk is full no more mail is taken; what is there stays readable.",
			"Belegter Platz des Datenträgers für Mail: 86 %, die Grenze ist 85 %. Ist die Platte voll, wird keine Mail mehr angenommen; was da ist, bleibt lesbar."},
		{"Wear of disk sda (ACME 7): 90 %, the limit is 85 %.", "Verschleiß der Platte sda (ACME 7): 90 %, die Grenze ist 85 %."},
		{"spare blocks of disk nvme0n1 (ACME)", "Reserveblöcke der Platte nvme0n1 (ACME)"},
		{"memory in use", "belegter Arbeitsspeicher"},
		{"load", "Last"},
		{"nct6775 fan1", "nct6775 fan1"},
		{"The health monitor waits for an answer of the disks.", "Die Überwachung wartet auf eine Antwort von den Platten."},
		{"network on eth0: no DHCP server answers; the address 192.0.2.5 must be given up in 7 minutes",
			"Netzwerk an eth0: Kein DHCP-Server antwortet; die Adresse 192.0.2.5 muss in 7 Minuten aufgegeben werden"},
		{"network on eth0: another device on the network, 02:00:00:00:00:01, has the address 192.0.2.5 as well: give one of the two another address",
			"Netzwerk an eth0: Ein anderes Gerät im Netz, 02:00:00:00:00:01, hat die Adresse 192.0.2.5 auch: Geben Sie einem der beiden eine andere"},
		{"the firewall is not as it should be: a b c", "Die Firewall ist nicht, wie sie sein soll: a b c"},
		{"line 3: nothing of this", "line 3: nothing of this"},
	} {
		if got := de.Report(tt.said); got != tt.want {
			t.Errorf("%q:\ngot  %q\nwant %q", tt.said, got, tt.want)
		}
		if got := en.Report(tt.said); got != tt.said {
			t.Errorf("in English %q became %q", tt.said, got)
		}
	}
}

// The order of what is filled in is the translation's own.
func TestReportOrder(t *testing.T) {
	fr, err := LoadCatalogue("fr")
	if err != nil {
		t.Fatal(err)
	}
	if got := fr.Report("The disk array md0 lacks 1 of its disks."); got != "Il manque 1 disques à la grappe md0." {
		t.Error(got)
	}
}

// reportKeys are the English sentences of a language's reports.
func reportKeys(t *testing.T, code string) map[string]string {
	t.Helper()
	raw, err := reportFiles.ReadFile("reports/" + code + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := toml.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// monitor are the sources of the health monitor.
const monitor = "../box/health/*.go"

func TestReportsAreWhole(t *testing.T) {
	var first []string
	for _, l := range Languages()[1:] {
		all := reportKeys(t, l.Code)
		keys := slices.Sorted(maps.Keys(all))
		if first == nil {
			first = keys
		}
		if !slices.Equal(keys, first) {
			t.Errorf("%s has other sentences than %s", l.Code, Languages()[1].Code)
		}
		for english, translated := range all {
			if translated == "" || strings.Count(english, "%") != strings.Count(translated, "%") {
				t.Errorf("%s: %q is %q", l.Code, english, translated)
			}
		}
	}
	// All that the health monitor says, whatever verbs it fills in by, and who chooses
	// the disks.
	said := regexp.MustCompile(`^ ?[A-Z].*\.$`)
	verbs := regexp.MustCompile(`%[.0-9]*[a-z]`)
	found := 0
	sentence := func(file string, n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil || !said.MatchString(s) || !strings.Contains(s, " ") {
			return true
		}
		found++
		if s = strings.TrimSpace(verbs.ReplaceAllString(s, "%s")); !slices.Contains(first, s) {
			t.Errorf("%s: no translation of %q", file, s)
		}
		return true
	}
	inspect(t, monitor, sentence)
	inspect(t, "../box/disk/disk.go", sentence)
	// The readings are named by literals too, some of which go on with what they
	// are of.
	for _, name := range readingNames(t) {
		if !slices.ContainsFunc(first, func(s string) bool { return s == name || strings.HasPrefix(s, strings.TrimSuffix(name, " ")+" ") }) {
			t.Errorf("no translation of the reading %q", name)
		}
	}
	if found < 100 {
		t.Errorf("only %d sentences found: the test looks in the wrong place", found)
	}
}

// readingNames are the literals that begin the names of readings.
func readingNames(t *testing.T) (names []string) {
	t.Helper()
	inspect(t, monitor, func(_ string, n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != "Name" {
			return true
		}
		value := kv.Value
		for {
			sum, ok := value.(*ast.BinaryExpr)
			if !ok {
				break
			}
			value = sum.X
		}
		if lit, ok := value.(*ast.BasicLit); ok {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, s)
		}
		return true
	})
	if len(names) < 10 {
		t.Errorf("only %d readings found: the test looks in the wrong place", len(names))
	}
	return names
}

func FuzzReport(f *testing.F) {
	f.Add("The disk sda has failed its self-test. It may be failing.")
	f.Add("network on : : . .. ")
	c, err := LoadCatalogue("es")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if said := c.Report(text); text != "" && strings.TrimSpace(text) != "" && said == "" {
			t.Errorf("nothing is left of %q", text)
		}
	})
}
