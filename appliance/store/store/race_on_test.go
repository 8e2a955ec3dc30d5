//go:build race

package store

// raceDetector tells that the tests run with it, and so several times slower.
const raceDetector = true
