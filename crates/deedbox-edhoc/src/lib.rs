//! EDHOC (RFC 9528), method 0 with message_4, and nothing else
