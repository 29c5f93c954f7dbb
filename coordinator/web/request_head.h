#pragma once

#include <string>

#include "absl/strings/string_view.h"

// A request's head as bytes, before httplib's parser sees it. That one is lenient (it takes a bare LF for a line's end,
// skips what it cannot read, and takes the first of several headers): what is let through has one meaning for whoever
// reads it.
namespace seedbed {

// Whether a line ends otherwise than by CRLF, seen as soon as it is here. `received`: the beginning of a head.
bool HasBareLineEnd(absl::string_view received);

// Whether `head`, up to and with its empty line, has a request line and headers of the form "name: value" (RFC 9112):
// names are tokens, with nothing before the colon; no line goes on in the next; no control characters; Host and
// Content-Length once at most.
bool IsWellFormed(absl::string_view head);

// Takes out what a server may ignore and httplib does not: its parser of ranges recurses over the header, and an answer
// grows with each range; and it compresses with Brotli's slowest setting, which takes seconds of this machine for what
// the network takes at once. `head` is well-formed.
void DropIgnoredHeaders(std::string* head);

}  // namespace seedbed
