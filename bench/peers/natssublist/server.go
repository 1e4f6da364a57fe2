// What sublist.go of the NATS server takes from the rest of the server, in the shape that it has there, as far as it is used. The
// file itself is copied from Debian's package when this is built (scripts/bench), with nothing changed but the package's name.
package main

import (
	"errors"
	"regexp"
)

const (
	_EMPTY_ = ""

	CLIENT = iota
	ROUTER
	GATEWAY
	SYSTEM
	LEAF
	JETSTREAM
	ACCOUNT
)

type client struct {
	kind int
}

func (c *client) isHubLeafNode() bool {
	return false
}

type subscription struct {
	client  *client
	im      *byte
	rsi     bool
	si      bool
	shadow  []*subscription
	icb     func()
	subject []byte
	queue   []byte
	sid     []byte
	origin  []byte
	nm      int64
	max     int64
	qw      int32
	closed  int32
	mqtt    *byte
}

type mappingDestinationErr struct {
	token string
	err   error
}

func (e *mappingDestinationErr) Error() string {
	return e.err.Error()
}

// Of subject mappings, which are not measured.
var (
	ErrInvalidMappingDestinationSubject  = errors.New("invalid mapping destination subject")
	ErrUnknownMappingDestinationFunction = errors.New("unknown mapping destination function")

	none                               = regexp.MustCompile("^$")
	partitionMappingFunctionRegEx      = none
	wildcardMappingFunctionRegEx       = none
	splitFromLeftMappingFunctionRegEx  = none
	splitFromRightMappingFunctionRegEx = none
	sliceFromLeftMappingFunctionRegEx  = none
	sliceFromRightMappingFunctionRegEx = none
	splitMappingFunctionRegEx          = none
)
