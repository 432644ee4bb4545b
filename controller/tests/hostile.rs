//! What hostile or broken callers of the HTTP API can't do: nothing that they send ends the controller, changes
//! anything, or holds a place for long.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Controller;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// The largest body of an apply, as its documentation says.
const APPLY_MAX: usize = 8 * 1024 * 1024;

/// A call must be answered, or cut, within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// An apply of one file with this text.
fn apply_of(text: &str) -> String {
    json!({ "documents": [{ "name": "mesh.toml", "text": text }] }).to_string()
}

fn problem(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no problem: {body}"));
    problem["error"].as_str().expect("a text").to_owned()
}

/// Sends exactly these bytes, and reads what comes until the controller ends the connection.
async fn raw(controller: &Controller, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(controller.ports.api).await.expect("the API listens");
    // A body that is too long is refused before it was read: the rest meets a closed socket.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the controller ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(controller: &Controller, more: &str) -> String {
    let (host, admin) = (controller.host(), controller.admin_token());
    format!(
        "POST /v1/apply HTTP/1.1\r\n{host}\r\nAuthorization: Bearer {admin}\r\nContent-Type: application/json\r\n{more}\r\n\r\n"
    )
}

/// That nothing changed, and that the controller answers.
async fn unharmed(controller: &Controller) {
    let (status, history) = controller.get("/v1/history").await;
    let history: Value = serde_json::from_str(&history).expect("JSON");
    assert_eq!((status, &history["changes"]), (200, &json!([])));
}

#[tokio::test]
async fn a_body_of_8_mib_is_read_and_one_byte_more_is_not() {
    let controller = Controller::start().await;
    let empty = apply_of("");
    // A file that is too long for itself is a mistake, with a body that is not.
    let most = apply_of(&"#".repeat(APPLY_MAX - empty.len()));
    assert_eq!(most.len(), APPLY_MAX);

    let (taken, mistake) = controller.post("/v1/apply", &most).await;
    let (refused, why) = controller.post("/v1/apply", &format!("{most} ")).await;
    let chunked = raw(&controller, &chunked(&controller, &most)).await;

    assert_eq!(taken, 422, "{mistake}");
    assert!(mistake.contains("at most 4194304"), "{mistake}");
    assert_eq!(refused, 413, "{why}");
    assert!(problem(&why).contains("applying"), "{why}");
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    unharmed(&controller).await;
}

/// An apply whose length is told chunk by chunk, one chunk too long.
fn chunked(controller: &Controller, body: &str) -> Vec<u8> {
    let mut request = head(controller, "Transfer-Encoding: chunked\r\nConnection: close").into_bytes();
    for part in [body, " "] {
        request.extend(format!("{:x}\r\n{part}\r\n", part.len()).into_bytes());
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn nesting_without_end_is_a_mistake_and_no_overflow() {
    let controller = Controller::start().await;
    let deep = 100_000;

    let mut answers = vec![controller.post("/v1/apply", &"[".repeat(deep)).await];
    answers.push(controller.post("/v1/apply", &r#"{"documents":"#.repeat(deep)).await);
    for text in [
        format!("mesh = {}", "[".repeat(deep)),
        format!("mesh = {}", "{a=".repeat(deep)),
        format!("[{}]", vec!["a"; deep].join(".")),
        format!("{} = 1", vec!["a"; deep].join(".")),
    ] {
        answers.push(controller.post("/v1/apply", &apply_of(&text)).await);
    }

    for (status, answer) in answers {
        assert!([400, 422].contains(&status), "{status} {answer}");
        assert!(!problem(&answer).is_empty());
        assert!(answer.len() < 64 * 1024, "{} bytes", answer.len());
    }
    unharmed(&controller).await;
}

#[tokio::test]
async fn keys_that_are_there_twice_and_bytes_that_are_no_text_are_refused() {
    let controller = Controller::start().await;
    let twice = r#"{"documents":[],"documents":[{"name":"a","text":"[mesh]\ndefault_policy = \"deny\""}]}"#;
    let no_text =
        [head(&controller, "Content-Length: 4\r\nConnection: close").as_bytes(), b"\"\xff\xfe\""].concat();

    let (status, why) = controller.post("/v1/apply", twice).await;
    let (toml, mistakes) = controller
        .post("/v1/apply", &apply_of("[mesh]\ndefault_policy = \"deny\"\ndefault_policy = \"allow\""))
        .await;
    let no_text = raw(&controller, &no_text).await;

    assert_eq!(status, 400, "{why}");
    assert!(problem(&why).contains("duplicate field"), "{why}");
    assert_eq!(toml, 422, "{mistakes}");
    assert!(mistakes.contains("duplicate key"), "{mistakes}");
    assert!(no_text.starts_with("HTTP/1.1 400"), "{no_text}");
    unharmed(&controller).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_for_ten_seconds() {
    let controller = Controller::start().await;
    let began = Instant::now();

    let half = format!("{}{{\"documents\":", head(&controller, "Content-Length: 1000"));
    let answer = raw(&controller, half.as_bytes()).await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(began.elapsed() > Duration::from_secs(9), "{:?}", began.elapsed());
    unharmed(&controller).await;
}

#[tokio::test]
async fn a_body_that_is_cut_changes_nothing() {
    let controller = Controller::start().await;
    let whole = apply_of("[mesh]\ndefault_policy = \"deny\"");
    let mut stream = TcpStream::connect(controller.ports.api).await.expect("the API listens");
    let head = head(&controller, &format!("Content-Length: {}", whole.len()));

    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&whole.as_bytes()[..whole.len() - 1]).await.expect("sent");
    stream.shutdown().await.expect("sent");
    let mut answer = String::new();
    let ended = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;

    assert!(ended.is_ok(), "the controller ends it");
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    unharmed(&controller).await;
}

#[tokio::test]
async fn whoever_is_silent_holds_one_of_64_places_and_the_next_gets_it_when_it_goes() {
    let controller = Controller::start().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(controller.ports.api).await.expect("the API listens");
        // That it has a place shows in an answer.
        let ask = format!("GET /livez HTTP/1.1\r\n{}\r\n\r\n", controller.host());
        stream.write_all(ask.as_bytes()).await.expect("sent");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("answered");
        assert_eq!(&first, b"HTTP/1.1 200");
        silent.push(stream);
    }

    let host = controller.host();
    let headers = [host.as_str()];
    let next = controller.call("GET", "/livez", &headers, "");
    tokio::pin!(next);
    let early = timeout(Duration::from_millis(300), &mut next).await;
    drop(silent.pop());
    let (status, _) = next.await;

    assert!(early.is_err(), "there was a place left");
    assert_eq!(status, 200);
}
