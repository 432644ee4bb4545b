//! Tokens, what comes and goes as JSON, and the heads of HTTP that say who calls.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sinew_api::Snapshot;
use sinew_api::admin::{Deregistering, NodeEndpoints, Registering};
use sinew_api::apply::{Apply, Delete, Past};
use sinew_api::document::Mistake;
use sinew_api::join::{MAX_TOKEN_LEN, Token};
use sinew_api::resource::{ResourceKey, Resources};
use sinew_api::secret::Secret;
use sinew_api::status::{NewToken, Status};
use sinew_controller_core::tokens::TokenRecord;
use sinew_controller_core::{Registration, Tokens};
use sinew_transport::http::{Uncalled, check_browser, check_credential};
use sinew_transport_core::ids::{NodeName, ServiceName, TrustDomain, Zone};
use sinew_transport_core::{Identity, Namespace};

/// A join token, as an operator pastes it.
pub fn token(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let token = match Token::parse(&text) {
        Ok(token) => token,
        Err(error) => {
            assert!(error.to_string().len() < 200, "an error shows nothing of a token: {error}");
            return false;
        }
    };
    assert!(text.trim().len() <= MAX_TOKEN_LEN);
    assert_eq!(Token::parse(token.to_text().expose()).as_ref(), Ok(&token), "it reads back as written");
    let other = Token { secret: Secret::new("another".to_owned()), ..token.clone() };
    assert_eq!(format!("{token:?}"), format!("{other:?}"), "a secret does not show itself");
    true
}

/// JSON of the APIs and of what is kept on disk. The first byte says which; the rest is a body.
pub fn api(bytes: &[u8]) -> bool {
    let Some((kind, body)) = bytes.split_first() else { return false };
    match kind {
        b'a' => same::<Apply>(body).is_some(),
        b'd' => same::<Delete>(body).is_some(),
        b't' => same::<NewToken>(body).is_some(),
        b'r' => same::<Registering>(body).is_some(),
        b'u' => same::<Deregistering>(body).is_some(),
        b'e' => same::<NodeEndpoints>(body).is_some(),
        b's' => same::<Status>(body).is_some(),
        b'S' => same::<Snapshot>(body).is_some(),
        b'R' => same::<Resources>(body).is_some(),
        b'P' => same::<Past>(body).is_some(),
        b'N' => same::<Registration>(body).is_some(),
        b'M' => same::<Vec<Mistake>>(body).is_some(),
        b'T' => same::<TokenRecord>(body).is_some_and(kept),
        b'n' => str::from_utf8(body).is_ok_and(names),
        _ => false,
    }
}

/// What is read as JSON reads back as it is written.
fn same<T: DeserializeOwned + Serialize + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(body).ok()?;
    let json = serde_json::to_string(&value).expect("plain data");
    assert_eq!(serde_json::from_str::<T>(&json).expect("as it was written"), value, "{json}");
    Some(value)
}

/// A token's record in the store.
fn kept(record: TokenRecord) -> bool {
    let Ok(tokens) = Tokens::from_records([record.clone()]) else { return false };
    let records: Vec<_> = tokens.records().collect();
    let lower = TokenRecord { sha256: record.sha256.to_lowercase(), ..record };
    assert_eq!(records, [lower]);
    true
}

/// A text as each kind of name.
fn names(text: &str) -> bool {
    fn name<T: std::str::FromStr + ToString + PartialEq>(text: &str) -> Option<T> {
        let name: T = text.parse().ok()?;
        assert!(name.to_string().parse::<T>().is_ok_and(|again| again == name), "{text}");
        Some(name)
    }
    let label = |text: &str| {
        let inner = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        inner && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
    };
    assert_eq!(name::<NodeName>(text).is_some(), label(text));
    assert_eq!(name::<Zone>(text).is_some(), label(text));
    assert_eq!(name::<Namespace>(text).is_some(), label(text));
    let parts: Vec<_> = text.split('.').collect();
    let labels = parts.iter().all(|part| label(part));
    assert_eq!(name::<ServiceName>(text).is_some(), labels && parts.len() <= 2);
    assert_eq!(name::<TrustDomain>(text).is_some(), labels && text.len() <= 255);
    if let Ok(identity) = Identity::parse(text) {
        assert_eq!(identity.to_string(), text, "one identity, one text");
    }
    let key = name::<ResourceKey>(text);
    key.is_some() || labels || Identity::parse(text).is_ok()
}

/// What a caller of the admin pages says about itself: a target, and a line for each header.
pub fn http(bytes: &[u8]) -> bool {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Ok(target) = Uri::try_from(lines.next().unwrap_or_default()) else { return false };
    let mut headers = HeaderMap::new();
    for line in lines.take(8) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let bearer = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let holds = bearer == Some(format!("Bearer {TOKEN}").as_bytes());
    assert_eq!(check_credential(&headers, TOKEN).is_ok(), holds);

    let called = check_browser(&target, &headers);
    let host = match target.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
    };
    match called {
        Ok(()) => {
            assert!(names_this_machine(host), "{host} is another machine");
            let foreign = headers.get(header::ORIGIN).filter(|origin| *origin != &format!("http://{host}"));
            assert_eq!(foreign, None, "a page of another origin");
        }
        Err(Uncalled::Host) => assert!(!is_plain(host), "{host} is this machine"),
        Err(refused) => assert_eq!(refused, Uncalled::Origin),
    }
    called.is_ok()
}

/// Whether a browser that is told this host talks to this machine, whatever DNS says.
fn names_this_machine(host: &str) -> bool {
    // Any port is a port of this machine; one that is none reaches nobody.
    let name = host.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix(':').unwrap_or(host);
    is_plain(name) || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether it is written as everybody writes it.
fn is_plain(host: &str) -> bool {
    let ip = |host: &str| host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() && ip.is_loopback());
    let socket = |host: &str| host.parse::<SocketAddr>().is_ok_and(|at| at.ip().is_loopback());
    host.eq_ignore_ascii_case("localhost") || host == "[::1]" || ip(host) || socket(host)
}
