//! What controllers refuse, and how what they have with nodes ends.

use super::{Group, group};

pub(super) const GROUPS: &[Group] = &[
    group! {
        "sinew_controller_joins"; label "outcome";
        logged ["join refused", "join refused: make a new token for this node", "join failed here"] "outcome";
        "unknown": "No such token was made here, or so long ago that it is forgotten." =>
            "Make a new token; is it of this controller?";
        "used": "The token was used before; the log names the node." =>
            "Make a new token. If nobody else should have had it, that node is not yours.";
        "expired": "The token's time was over." => "Make a new token, with a longer `--ttl` if need be.";
        "bad_request": "The token was good, the certificate request was not; the token still is." =>
            "The log's `reason` says what; is the node of a version that goes together with this one?";
        "malformed": "What came was no join request." => "A program that found the port, or another version.";
        "timeout": "The request took more than 5 s." => "The node tries again; look at the network between.";
        "overloaded": "Too many joins at once." => "Passes by itself: nodes try again.";
        "failed": "The controller failed: disk or keys." => "The log has the system's answer; is the disk full?";
    },
    group! {
        "sinew_controller_renewals"; label "outcome"; logged ["certificate not renewed"] "error";
        "too_soon": "The last request in this session came a moment ago." => "None: the node asks again.";
        "unknown": "The node has not joined this mesh, or was removed." => "Join it again, with a new token.";
        "bad_request": "The request can't be signed." =>
            "The log says what; is the node of a version that goes together with this one?";
        "failed": "The authority failed." => "The log has the reason; is the disk full?";
    },
    group! {
        "sinew_controller_session_ends"; label "reason"; logged ["session ended"] "end";
        "closed": "The node closed it: it stops, or a newer session of the same process took over." => "None.";
        "lost": "It fell silent or broke; the node's endpoints stay for 30 s." =>
            "The network, or the node's machine.";
        "malformed": "The node said what can't be read." =>
            "Are both of versions that go together? If so, please report it.";
        "too_slow": "The node did not register, or did not take a snapshot, in time." =>
            "The node's machine or the network is very slow; it comes back.";
        "superseded": "Another process with the same identity took over: a restart, or a copied state directory." =>
            "When it comes again: stop one of the two, and join it with a token of its own.";
        "not_granted": "The registration asks for what was not granted." =>
            "The node's log names every mistake: correct its `node.toml`, or declare other `grants`.";
        "invalid": "The registration breaks another rule." => "The node's log names every mistake.";
        "stopping": "The controller stops." => "None.";
        "certificate_expired": "The node's certificate ended; it comes back to renew it, and for nothing else." =>
            "Passes by itself; if not, compare the clocks.";
        "renewed": "The session of an expired certificate, after it was renewed." => "None.";
    },
    group! {
        "sinew_controller_session_ends"; label "reason"; logged ["session refused: too many at once"] "node";
        "overloaded": "Too many sessions at once." => "The mesh has more nodes than one controller serves.";
    },
    group! {
        "sinew_controller_api_refused"; label "reason"; logged ["call of the API refused"] "reason";
        "host": "The call is for another `Host`." => "Call the API by 127.0.0.1, [::1] or localhost.";
        "origin": "The call comes from a page of another `Origin`." => "None: a web page tried.";
        "credential": "There is no token, or another one." =>
            "Use the token in the controller's `admin.token`, or `sinew --state DIR`.";
    },
    group! {
        "sinew_controller_pushes_too_large"; label ""; logged ["a node's snapshot is too large to send"] "reason";
        "pushes_too_large": "A snapshot was too large to send; the node keeps the one before." =>
            "The node is granted, or calls, more than fits: split its listeners among nodes.";
    },
    group! {
        "sinew_controller_rejects"; label ""; logged ["node refused its snapshot"] "reason";
        "rejects": "A node refused a snapshot, and keeps the one before." =>
            "`sinew status` names the node, what it refused and why; please report it.";
    },
    group! {
        "sinew_controller_frames_skipped"; label ""; logged;
        "frames_skipped": "A node sent a frame that is not known here and may be skipped." =>
            "None: the node is newer than the controller.";
    },
];
