//! rustls' configuration from [`TlsConfig`], and when its files have changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion, version};

use super::config::{Pem, PemKey, TlsConfig, TlsVersion};
use super::secret::{SecretSource, read_capped};

/// What tells that a file has changed.
pub(super) type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl TlsConfig {
    /// The files that it is made of, as they are now.
    pub(super) fn stamps(&self) -> Stamps {
        let mut files: Vec<&Path> = Vec::new();
        let pems = self.ca.iter().chain(self.identity.iter().map(|(chain, _)| chain));
        files.extend(pems.filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Inline(_) => None,
        }));
        if let Some((_, PemKey(SecretSource::File(path)))) = &self.identity {
            files.push(path);
        }
        let stamp = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        files.into_iter().map(|path| (path.to_owned(), stamp(path))).collect()
    }

    /// What is wrong with the files of certificates and keys, one line each.
    pub(super) fn check_files(&self) -> Vec<String> {
        // Whom the system trusts is not this configuration's.
        let roots = self.ca.as_ref().and_then(|_| self.roots().err());
        let own = Self { ca: None, skips_verification: true, ..self.clone() };
        roots.into_iter().chain(own.build().err()).collect()
    }

    /// What rustls takes. Reads the files: blocking.
    ///
    /// # Errors
    /// A text that names the file, or the key of the configuration.
    pub(super) fn build(&self) -> Result<rustls::ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let min = self.min_version.unwrap_or(TlsVersion::Tls12);
        let max = self.max_version.unwrap_or(TlsVersion::Tls13);
        let known = [(TlsVersion::Tls12, &version::TLS12), (TlsVersion::Tls13, &version::TLS13)];
        let versions: Vec<&'static SupportedProtocolVersion> =
            known.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, spoken)| spoken).collect();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| format!("min_version, max_version: {error}"))?;
        let builder = if self.skips_verification {
            let verifier = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, PemKey(key))) => {
                let (text, place) = read_pem(chain, "cert")?;
                let chain = certificates(&text, &place)?;
                let (text, place) = match key {
                    SecretSource::Inline(secret) => (secret.expose().as_bytes().to_vec(), "key".to_owned()),
                    SecretSource::File(path) => (read_capped(path)?, path.display().to_string()),
                };
                let key = PrivateKeyDer::from_pem_slice(&text)
                    .map_err(|error| format!("{place}: no private key: {error}"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| format!("{place}: {error}"))
            }
        }
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        let Some(ca) = &self.ca else { return system_roots() };
        let (text, place) = read_pem(ca, "ca")?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&text, &place)? {
            roots.add(certificate).map_err(|error| format!("{place}: {error}"))?;
        }
        Ok(Arc::new(roots))
    }
}

/// Whom the system trusts; read once.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (n_good, _) = roots.add_parsable_certificates(loaded.certs);
    if n_good == 0 {
        let why = loaded.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(format!(
            "no certificates of the system to trust ({why}); install ca-certificates, or set tls_config.ca_file"
        ));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

fn read_pem(pem: &Pem, key: &str) -> Result<(Vec<u8>, String), String> {
    match pem {
        Pem::Inline(text) => Ok((text.as_bytes().to_vec(), key.to_owned())),
        Pem::File(path) => Ok((
            std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?,
            path.display().to_string(),
        )),
    }
}

fn certificates(text: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(list) if list.is_empty() => Err(format!("{place}: no certificate in it")),
        Ok(list) => Ok(list),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

/// `insecure_skip_verify`: any certificate will do. That the server has its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
