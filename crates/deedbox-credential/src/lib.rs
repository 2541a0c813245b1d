//! SD-CWT credentials: issue, hold, present with key binding, verify
