//! The controller: sessions, authority, API.
