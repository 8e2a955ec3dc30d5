package console

import (
	"errors"

	"pillarbox/appliance/config/password"
)

// checked puts a check of the settings behind a question: an empty answer gets
// a sentence of its own.
func checked(c *Catalogue, check func(string) (string, error)) func(string) error {
	return func(v string) error {
		if v == "" {
			return errors.New(c.T("Please fill this in."))
		}
		if _, err := check(v); err != nil {
			return errors.New(c.Refusal(err.Error()))
		}
		return nil
	}
}

// strong checks a new password for the login it is for.
func strong(c *Catalogue, login func() string) func(string) error {
	return checked(c, func(v string) (string, error) { return v, password.Check(v, login()) })
}

// same checks a password that is typed a second time.
func same(c *Catalogue, as *field) func(string) error {
	return func(v string) error {
		if v != as.value() {
			return errors.New(c.T("The two passwords differ."))
		}
		return nil
	}
}
