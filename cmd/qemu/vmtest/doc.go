// Package vmtest boots the image in QEMU, as it boots on a server, and uses it
// as people do: with common mail clients over the network, with the keyboard on
// the serial line, with the power button, by pulling the plug, and with parts that
// fail under it.
//
// The tests have the build tag vm and run by `make test-vm`. They share one
// image, built when first needed (PILLARBOX_IMAGE names another one), and boot
// one VM at a time. A failed test leaves the serial line's log in its output.
package vmtest
