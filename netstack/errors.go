package netstack

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnos are gVisor's errors as the errors that users of package net know.
var errnos = []struct {
	from tcpip.Error
	to   error
}{
	{&tcpip.ErrAborted{}, syscall.ECONNABORTED},
	{&tcpip.ErrAddressFamilyNotSupported{}, syscall.EAFNOSUPPORT},
	{&tcpip.ErrAlreadyBound{}, syscall.EINVAL},
	{&tcpip.ErrAlreadyConnected{}, syscall.EISCONN},
	{&tcpip.ErrAlreadyConnecting{}, syscall.EALREADY},
	{&tcpip.ErrBadAddress{}, syscall.EADDRNOTAVAIL},
	{&tcpip.ErrBadLocalAddress{}, syscall.EADDRNOTAVAIL},
	{&tcpip.ErrClosedForReceive{}, net.ErrClosed},
	{&tcpip.ErrClosedForSend{}, syscall.EPIPE},
	{&tcpip.ErrConnectionAborted{}, syscall.ECONNABORTED},
	{&tcpip.ErrConnectionRefused{}, syscall.ECONNREFUSED},
	{&tcpip.ErrConnectionReset{}, syscall.ECONNRESET},
	{&tcpip.ErrDestinationRequired{}, syscall.EDESTADDRREQ},
	{&tcpip.ErrDuplicateAddress{}, syscall.EEXIST},
	{&tcpip.ErrHostDown{}, syscall.EHOSTUNREACH},
	{&tcpip.ErrHostUnreachable{}, syscall.EHOSTUNREACH},
	{&tcpip.ErrInvalidEndpointState{}, net.ErrClosed},
	{&tcpip.ErrMessageTooLong{}, syscall.EMSGSIZE},
	{&tcpip.ErrNetworkUnreachable{}, syscall.ENETUNREACH},
	{&tcpip.ErrNoBufferSpace{}, syscall.ENOBUFS},
	{&tcpip.ErrNoPortAvailable{}, syscall.EADDRINUSE},
	{&tcpip.ErrNotConnected{}, syscall.ENOTCONN},
	{&tcpip.ErrNotPermitted{}, syscall.EPERM},
	{&tcpip.ErrPortInUse{}, syscall.EADDRINUSE},
	{&tcpip.ErrTimeout{}, syscall.ETIMEDOUT},
}

// byText finds an errno by the text of gVisor's error: gonet passes on no more.
var byText = func() map[string]error {
	m := make(map[string]error, len(errnos)+1)
	for _, e := range errnos {
		m[e.from.String()] = e.to
	}
	m["operation canceled"] = net.ErrClosed // a listener was shut down
	return m
}()

// translate turns an error of gVisor's into one that errors.Is knows.
func translate(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return translateText(errors.New(err.String()))
}

// translateText is translate for what gonet has already made text of. Timeouts
// are os.ErrDeadlineExceeded; io.EOF and errors of contexts stay themselves.
func translateText(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		translated := *op
		translated.Err = translateText(op.Err)
		return &translated
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return os.ErrDeadlineExceeded
	}
	if known, ok := byText[err.Error()]; ok {
		return known
	}
	return err
}
