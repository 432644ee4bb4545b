//! What a node keeps in its state directory: key, certificate, root, and the secrets that make a restart
//! noticed at once. A node without a certificate joins with its token, once.
//!
//! `identity.pem` (0600): certificate and key in one file, replaced as a whole, so that whatever happens
//! during a renewal they belong together. `root.cert.pem`, `keys.json` (0600, with a version). The key never
//! leaves.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sinew_api::join::{InvalidToken, JoinAnswer, JoinRequest, Token, from_hex32, to_hex};
use sinew_transport::session::{DialError, Session, SessionError, dial_join};
use sinew_transport::tls::CredentialsError;
use sinew_transport::verify::Refusals;
use sinew_transport::{Access, Credentials, Keyring, ResetKeys, Runtime};
use tokio::time::timeout;

use crate::reach::first_to_answer;

/// The file with certificate and key. With it there, the node has joined.
pub(crate) const IDENTITY: &str = "identity.pem";

/// The root that it trusts.
const ROOT: &str = "root.cert.pem";

/// The secrets by which a restart is noticed at once, and where controllers are.
const KEYS: &str = "keys.json";

/// The version of `keys.json`.
const VERSION: u32 = 1;

/// Certificates from a node's to its root that are kept: the authority signs directly today.
const CHAIN_MAX: usize = 4;

/// How long a controller may take to answer a join.
const JOIN_TIME: Duration = Duration::from_secs(10);

/// Who a node is, and where it finds controllers.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) keys: ResetKeys,
    pub(crate) controllers: Vec<std::net::SocketAddr>,
}

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the state directory can't be read or written.
    #[error("{path}: {source}; is `state` right, may this user use it, and is there space left?")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the state directory is damaged.
    #[error(
        "{path} can't be read: {reason}. Restore it from a backup, or remove the state directory and join again with a new token"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The node has joined, and not all of what that left is there.
    #[error(
        "{path} is missing, though {IDENTITY} beside it is there: was it left out of a restore? Restore it from a backup, or remove the state directory and join again with a new token"
    )]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A controller answered, and the answer could not be kept.
    #[error(
        "the certificate that the controller gave is lost with the token, make a new one with `sinew token create`: {0}"
    )]
    Unkept(Box<IdentityError>),
    /// A file was written by a newer version.
    #[error(
        "{path} has version {found}, newer than the {VERSION} known here: use the newer program, or join again in another state directory"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There is neither a certificate nor a token.
    #[error(
        "this node has not joined a mesh yet and has no token: make one with `sinew token create --node NAME` and pass it with --token-file or SINEW_TOKEN_FILE"
    )]
    NoToken,
    /// The token is unreadable.
    #[error("the join token: {0}")]
    Token(#[from] InvalidToken),
    /// No controller could be reached.
    #[error("joining: {0}")]
    Dial(#[from] DialError),
    /// The session broke.
    #[error("joining: {0}; try again, the token is still good unless the controller says otherwise")]
    Session(#[from] SessionError),
    /// The controller refused the token.
    #[error(
        "the controller refused the join token: it is unknown, was used already, or its time is over (the controller's log says which). Make a new one with `sinew token create`"
    )]
    Refused,
    /// The controller could not use our request, or we its answer.
    #[error("joining failed: {0}")]
    Answer(String),
    /// What we have is no identity.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysJson {
    version: u32,
    reset_key: String,
    token_key: String,
    connection_id_key: u64,
    controllers: Vec<std::net::SocketAddr>,
}

/// The state directory of a node.
pub(crate) struct State<'a> {
    pub(crate) runtime: &'a Arc<dyn Runtime>,
    pub(crate) path: &'a Path,
}

impl State<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, IdentityError> {
        let path = self.path.join(name);
        match self.runtime.read_file(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::File { path, source }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8], access: Access) -> Result<(), IdentityError> {
        let path = self.path.join(name);
        self.runtime.write_file(&path, bytes, access).map_err(|source| IdentityError::File { path, source })
    }

    /// A file that is there when the node has joined.
    fn kept(&self, name: &str) -> Result<Vec<u8>, IdentityError> {
        self.read(name)?.ok_or_else(|| IdentityError::Missing { path: self.path.join(name) })
    }

    fn damaged(&self, name: &str, reason: impl ToString) -> IdentityError {
        IdentityError::Damaged { path: self.path.join(name), reason: reason.to_string() }
    }

    /// The identity in the directory; joins with `token` when there is none yet.
    pub(crate) async fn identity(
        &self,
        token: Option<String>,
        refusals: &Arc<Refusals>,
    ) -> Result<Identity, IdentityError> {
        if let Some(identity) = self.load()? {
            return Ok(identity);
        }
        let token = Token::parse(&token.ok_or(IdentityError::NoToken)?)?;
        self.join(&token, refusals).await?;
        self.load()?.ok_or_else(|| self.damaged(IDENTITY, "it was just written and is gone"))
    }

    fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let Some(own) = self.read(IDENTITY)? else { return Ok(None) };
        let (root, keys) = (self.kept(ROOT)?, self.kept(KEYS)?);
        let certificate =
            |name, pem: &[u8]| CertificateDer::from_pem_slice(pem).map_err(|e| self.damaged(name, e));
        let key = PrivateKeyDer::from_pem_slice(&own)
            .map_err(|_| self.damaged(IDENTITY, "no private key in it"))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&own)
            .collect::<Result<_, _>>()
            .map_err(|e| self.damaged(IDENTITY, e))?;
        let credentials = Credentials::new(chain, key, certificate(ROOT, &root)?)?;
        credentials.check(self.runtime).map_err(|e| self.damaged(IDENTITY, e))?;
        let (keys, controllers) = self.keys(&keys)?;
        Ok(Some(Identity { keyring: Arc::new(Keyring::new(credentials)), keys, controllers }))
    }

    fn keys(&self, json: &[u8]) -> Result<(ResetKeys, Vec<std::net::SocketAddr>), IdentityError> {
        /// Read before the rest, which a newer version may have changed.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // serde's message could quote a key.
        let unreadable =
            |e: serde_json::Error| self.damaged(KEYS, format!("line {}, column {}", e.line(), e.column()));
        let Versioned { version } = serde_json::from_slice(json).map_err(unreadable)?;
        if version > VERSION {
            return Err(IdentityError::Newer { path: self.path.join(KEYS), found: version });
        }
        let keys: KeysJson = serde_json::from_slice(json).map_err(unreadable)?;
        let key = |hex: &str| from_hex32(hex).ok_or_else(|| self.damaged(KEYS, "a key is not 64 hex digits"));
        let reset = ResetKeys {
            reset: key(&keys.reset_key)?,
            token: key(&keys.token_key)?,
            connection_id: keys.connection_id_key,
        };
        Ok((reset, keys.controllers))
    }

    /// Turns a token into a certificate, at whichever of its controllers answers first. What does not depend on
    /// the answer is written before: where nothing can be kept, the token is not spent.
    async fn join(&self, token: &Token, refusals: &Arc<Refusals>) -> Result<(), IdentityError> {
        self.write_keys(token)?;
        let (key, csr) = new_key()?;
        let request = JoinRequest { secret: token.secret.expose().to_owned(), csr };
        let dialled = first_to_answer(token.controllers.clone(), |controller| {
            let (runtime, token, refusals) = (Arc::clone(self.runtime), token.clone(), Arc::clone(refusals));
            async move { dial_join(&runtime, controller, &token.trust_domain, token.root_pin, &refusals).await }
        });
        // Only one is asked: the token is good for one answer.
        let (controller, session) = dialled.await.map_err(|error| match error {
            Some(error) => error.into(),
            None => IdentityError::Answer("the token names no controller".into()),
        })?;
        match ask(controller, session, &request).await? {
            JoinAnswer::Joined { certificate, root } => {
                let kept = self.keep(token, &key, certificate, root);
                kept.map_err(|error| IdentityError::Unkept(Box::new(error)))
            }
            JoinAnswer::Refused => Err(IdentityError::Refused),
            JoinAnswer::BadRequest(reason) => Err(IdentityError::Answer(reason)),
        }
    }

    /// Takes another certificate in place of the one in `current`: checked, then written with its key as
    /// one file. The file that was there stays when anything is wrong.
    pub(crate) fn renew(
        &self,
        current: &Credentials,
        key: &KeyPair,
        chain: Vec<Vec<u8>>,
    ) -> Result<Credentials, IdentityError> {
        let credentials = self.usable(current.identity(), key, chain.clone(), current.root().clone())?;
        if credentials.expiry() <= current.expiry() {
            return Err(IdentityError::Answer(
                "the new certificate ends no later than the old one: is the controller's clock right?".into(),
            ));
        }
        self.write_identity(key, chain)?;
        Ok(credentials)
    }

    /// Credentials, if they are for `wanted` and belong together.
    fn usable(
        &self,
        wanted: &sinew_transport_core::Identity,
        key: &KeyPair,
        chain: Vec<Vec<u8>>,
        root: CertificateDer<'static>,
    ) -> Result<Credentials, IdentityError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = chain.into_iter().take(CHAIN_MAX).map(CertificateDer::from).collect();
        let credentials = Credentials::new(chain, key, root)?;
        credentials.check(self.runtime)?;
        if credentials.identity() != wanted {
            let given = credentials.identity();
            return Err(IdentityError::Answer(format!("the certificate is for {given}, not {wanted}")));
        }
        Ok(credentials)
    }

    fn write_identity(&self, key: &KeyPair, chain: Vec<Vec<u8>>) -> Result<(), IdentityError> {
        let mut text: String = chain.into_iter().take(CHAIN_MAX).map(pem).collect();
        text.push_str(&key.serialize_pem());
        self.write(IDENTITY, text.as_bytes(), Access::Private)
    }

    fn write_keys(&self, token: &Token) -> Result<(), IdentityError> {
        let secrets = ResetKeys::random();
        let keys = KeysJson {
            version: VERSION,
            reset_key: to_hex(&secrets.reset),
            token_key: to_hex(&secrets.token),
            connection_id_key: secrets.connection_id,
            controllers: token.controllers.clone(),
        };
        let keys = serde_json::to_vec_pretty(&keys).map_err(|e| IdentityError::Answer(e.to_string()))?;
        self.write(KEYS, &keys, Access::Private)
    }

    fn keep(
        &self,
        token: &Token,
        key: &KeyPair,
        certificate: Vec<u8>,
        root: Vec<u8>,
    ) -> Result<(), IdentityError> {
        let wanted = sinew_transport_core::Identity::Node(token.trust_domain.clone(), token.node.clone());
        let chain = vec![certificate];
        self.usable(&wanted, key, chain.clone(), root.clone().into())?;
        // The certificate last: with it there, the node has joined.
        self.write(ROOT, pem(root).as_bytes(), Access::Public)?;
        self.write_identity(key, chain)?;
        tracing::info!(node = %token.node, trust_domain = %token.trust_domain, "joined the mesh");
        Ok(())
    }
}

/// Asks a controller for a certificate.
async fn ask(
    controller: std::net::SocketAddr,
    mut session: Session,
    request: &JoinRequest,
) -> Result<JoinAnswer, IdentityError> {
    let closer = session.closer();
    let exchange = async {
        session.sender.send(request).await?;
        let frame = session.receiver.next().await?;
        frame.decode::<JoinAnswer>().map_err(|e| IdentityError::Answer(e.to_string()))
    };
    let answer = timeout(JOIN_TIME, exchange).await;
    closer.close("joined");
    answer.map_err(|_| IdentityError::Answer(format!("{controller} did not answer in {JOIN_TIME:?}")))?
}

/// A new key, and a certificate request for it (DER). The name in the certificate is the authority's word,
/// whatever the request says: it says nothing.
pub(crate) fn new_key() -> Result<(KeyPair, Vec<u8>), IdentityError> {
    let failed = |e: rcgen::Error| IdentityError::Answer(format!("making a key: {e}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let csr = CertificateParams::default().serialize_request(&key).map_err(failed)?;
    Ok((key, csr.der().to_vec()))
}

fn pem(certificate: Vec<u8>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate))
}
