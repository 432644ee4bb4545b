//! What nodes refuse. Certificates and greetings are refused by controllers likewise, under a metric of their own.

use super::{Group, group};

pub(super) const GROUPS: &[Group] = &[
    group! {
        "sinew_connections_refused"; label "reason";
        logged ["can't accept: out of descriptors or memory? Raise the limit on open files"] "service";
        "accept_failed": "The kernel gave no socket for an application's connection." =>
            "Raise the limit on open files (`LimitNOFILE=`), or find out who holds the memory.";
    },
    group! {
        "sinew_connections_refused"; label "reason"; logged ["an application is refused"] "reason";
        "listener_full": "Its listener carries as many as its `max_connections` allows." =>
            "Find the application that opens so many, or raise `max_connections` of the `[[listen]]`.";
        "node_full": "The node carries as many as `max_connections` of `[node]`, or its limit on open files, allows." =>
            "Raise `max_connections` of `[node]`, and the limit on open files (`LimitNOFILE=`) with it.";
        "no_descriptors": "The process has no descriptor left for it." =>
            "Raise the limit on open files (`LimitNOFILE=`, `ulimit -n`).";
        "handover_full": "The shard that should carry it had too many waiting already." =>
            "The node has more new connections than CPU: give it cores or `shards`, or spread the callers.";
    },
    group! {
        "sinew_connections_cut"; label "reason";
        logged ["stalled connections hold too much: the longest stalled is cut"] "stalled_ms";
        "stalled" code Cut: "Its reader had read nothing for the longest when stalled connections held too much." =>
            "The application beside this node that does not read; `client` in the access log is its address.";
    },
    group! {
        "sinew_connections_cut"; label "reason"; logged;
        "idle" code Idle: "Nothing passed for as long as `idle_timeout` of the `[[serve]]` allows." =>
            "Nothing, if that is meant; else raise `idle_timeout`, or let the application keep its connections alive.";
        "stopping" code Cut: "It still ran when the time of a drain was over." =>
            "Raise `drain_timeout` if such connections should end by themselves.";
    },
    group! {
        "sinew_streams_refused"; label "code"; logged ["stream refused"] "code";
        "REFUSED" code Refused: "The service did not accept the connection." =>
            "Is the service running, at the `address` of its `[[serve]]`? `reason` has the system's answer.";
        "DENIED" code Denied: "The caller may not speak for the source it named, or may not call the destination." =>
            "Grants and policy; `reason` says which. `sinew effective NODE` shows what the node was told.";
        "OVERLOADED" code Overloaded: "A limit of this node is reached." =>
            "`reason` names it. More endpoints of the service, on other nodes.";
        "NO_ENDPOINT" code NoEndpoint: "This node does not host that endpoint." =>
            "Passes by itself when the endpoint was moved just now; if not, compare `sinew effective` of both nodes.";
        "DRAINING" code Draining: "The endpoint or its node takes nothing new." =>
            "None: it was told to stop, and callers go elsewhere.";
    },
    group! {
        "sinew_streams_refused"; label "code"; logged;
        "BAD_PREAMBLE" code BadPreamble: "The first frame of a stream could not be read, or did not come." =>
            "The access log names the caller. Are both nodes of versions that go together? If so, please report it.";
    },
    group! {
        "sinew_peers_refused", "sinew_controller_refused"; label "reason"; logged ["certificate refused"] "reason";
        "unknown_issuer": "Its certificate does not chain to this mesh's root." =>
            "It belongs to another mesh: join it with a token of this one, in an empty state directory.";
        "expired": "Its certificate's time is over." =>
            "Can that node reach a controller? It renews at half of the life. Compare the clocks.";
        "not_yet_valid": "Its certificate's time has not begun." =>
            "Somebody's clock is wrong by more than 5 minutes.";
        "no_identity": "The certificate does not carry exactly one identity." =>
            "It was not made by a Sinew controller.";
        "wrong_identity": "A valid identity, but not the one that was dialled." =>
            "Another node answers at that address: compare `advertise` and `sinew status`.";
        "wrong_role": "A controller where nodes talk, or a node where controllers do." =>
            "An address of `controllers` or `advertise` names the wrong port.";
        "bad_certificate": "The certificate is damaged, or its signature does not verify." =>
            "Somebody tries without the key, or the file is damaged: join that node again.";
    },
    group! {
        "sinew_peers_refused", "sinew_controller_refused"; label "reason";
        logged ["data connection refused", "session refused"] "refusal";
        "no_certificate": "The other end showed no certificate." =>
            "It is no node of this mesh, or a program that found the port.";
        "protocol": "No version of the protocol in common." =>
            "Update the older of the two; `sinew status` shows versions.";
        "timeout": "The handshake or the greeting did not end in time." =>
            "A slow or lossy network, or someone who holds connections open.";
        "overloaded": "Too many handshakes are in progress." =>
            "A flood, or everybody came back at once; the second passes by itself.";
        "bad_hello": "The greeting, or what followed it, could not be read." =>
            "Are both of versions that go together? If so, please report it.";
        "superseded": "Another process with the same identity took over." =>
            "A copied state directory: stop one of the two, and join it with a token of its own.";
        "other": "Anything else that ended a handshake." =>
            "The log's `reason` says what.";
    },
    group! {
        "sinew_peers_refused", "sinew_controller_refused"; label "reason";
        logged ["controller refused: its root is not the one in the token"] "reason";
        "wrong_pin": "The root that was shown is not the one that the token pins." =>
            "The token is of another mesh, or somebody is between: make a new token, and compare the addresses in it.";
    },
    group! {
        "sinew_handshakes_retried", "sinew_controller_handshakes_retried"; label ""; logged;
        "handshakes_retried": "A dialler had to prove its address first: more than 64 handshakes were in progress." =>
            "None; if it goes on, somebody floods the port.";
    },
    group! {
        "sinew_tcp_connections_closed"; label "outcome"; logged;
        "unavailable": "No endpoint could be picked for as long as the connection may wait (`connect_timeout`)." =>
            "The access log says who and why. Does `sinew status` show endpoints that are up, and links to them?";
    },
    group! {
        "sinew_listeners_failed"; label "";
        logged ["a listener can't be opened; is another program using the port, or does it need a privilege?"] "error";
        "listeners_failed": "A listener that the operator declared could not be opened; it is tried again every 2 s." =>
            "`GET /v1/endpoints` of the node says why: as a rule another program has the address.";
    },
    group! {
        "sinew_snapshots_rejected"; label ""; logged ["snapshot refused; the one before stays in use"] "rejected";
        "snapshots_rejected": "A snapshot broke a rule; the one before stays in use." =>
            "The log and `sinew status` name what and why; please report it.";
    },
    group! {
        "sinew_certificate_renewals"; label "result"; logged ["certificate not renewed"] "error";
        "refused": "The controller refused another certificate." => "The log has its reason; the controller's says more.";
        "timeout": "The controller did not answer." => "Passes by itself; if not, look at the controller.";
        "lost": "The session ended before the answer." => "Passes by itself.";
        "malformed": "The answer could not be read." => "Are both of versions that go together? If so, please report it.";
        "failed": "The new key or certificate could not be made or kept." =>
            "Is there room and permission in `state`? The log has the system's answer.";
    },
    group! {
        "sinew_access_log_dropped"; label ""; logged;
        "access_log_dropped": "The access log could not take a line: its disk is slower than the connections." =>
            "A faster disk, or no access log on this node.";
    },
];
