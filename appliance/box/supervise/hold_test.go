package supervise

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.Add(Spec{Name: "a", StopWithin: time.Second})
		h.Add(Spec{Name: "b", After: []string{"disk"}, StopWithin: time.Second})
		synctest.Wait()
		release, err := h.Hold(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got := h.states(); got != "a=stopped b=waiting" {
			t.Errorf("held: %s", got)
		}
		if _, err := h.Hold(t.Context(), "a"); err == nil {
			t.Error("held twice")
		}
		if err := h.Restart("a"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if got := h.states() + " " + h.r.starts(); got != "a=stopped b=waiting a" {
			t.Errorf("an hour later: %s", got)
		}
		release()
		release()
		time.Sleep(time.Minute)
		if got := h.states() + " " + h.r.starts(); got != "a=running b=waiting a a" {
			t.Errorf("released: %s", got)
		}

		// One that waits stays where it is, what it waits for or not.
		release, err = h.Hold(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		h.Reach("disk")
		time.Sleep(time.Minute)
		if got := h.states(); got != "a=running b=stopped" {
			t.Errorf("held before it was started: %s", got)
		}
		release()
		if got := h.states(); got != "a=running b=running" {
			t.Errorf("then released: %s", got)
		}
		if _, err := h.Hold(t.Context(), "c"); err == nil {
			t.Error("a service that is not there was held")
		}
		if len(h.told()) > 0 {
			t.Errorf("told: %q", h.told())
		}
		if _, err := h.Hold(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		h.Stop(context.Background())
	})
}

func TestHoldOneThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.Add(Spec{Name: "a", StopWithin: time.Second})
		synctest.Wait()
		h.r.die("a", Exit{Code: 1})
		synctest.Wait()
		release, err := h.Hold(t.Context(), "a") // in its pause
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := h.states() + " " + h.r.starts(); got != "a=stopped a" {
			t.Errorf("held: %s", got)
		}
		release()
		if got := h.states() + " " + h.r.starts(); got != "a=running a a" {
			t.Errorf("released: %s", got)
		}
		deaf := func(how int) { h.r.mu.Lock(); defer h.r.mu.Unlock(); h.r.deaf["a"] = how }
		deaf(2)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		release, err = h.Hold(ctx, "a")
		if err == nil {
			t.Error("one that does not end was held")
		}
		release()
		h.r.die("a", Exit{})
		deaf(0)
		time.Sleep(time.Minute)
		if got := h.states() + " " + h.r.starts(); got != "a=running a a a" {
			t.Errorf("ended at last: %s", got)
		}
		h.Stop(context.Background())
	})
}
