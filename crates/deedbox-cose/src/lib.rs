//! COSE (RFC 9052, 9053): keys, thumbprints, Sign1, Sign, Encrypt0 with HPKE, exact algorithm per key
