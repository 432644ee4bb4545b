//! The node agent: outbound, inbound, control session, admin.
