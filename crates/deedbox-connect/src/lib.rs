//! How a person and an organisation meet: invitation, agreement signed by both, sessions bound to it
