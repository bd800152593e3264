//! TLS for connections that are not HTTP, and the authorities that a config names. This is the only
//! user of `rustls` itself.
//!
//! The authorities of the host are trusted, or the built-in ones of Mozilla where the host has none; a
//! file of authorities in the config takes their place. The name of the other side is always checked.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::http;
use crate::text;

pub(crate) use rustls::ClientConfig;
pub(crate) use rustls::ClientConnection;
pub(crate) use rustls::StreamOwned;
pub(crate) use rustls::pki_types::ServerName;

/// The certificates of authorities, in DER.
pub(crate) type Authorities = Vec<Vec<u8>>;

/// Reads a file of authorities, in PEM.
///
/// # Errors
/// [`Exit::Config`]: it cannot be read, or has no certificate.
pub(crate) fn read_authorities(path: &Path) -> Result<Authorities, Failure> {
    let name = text::escape_bytes(path.as_os_str().as_encoded_bytes());
    let refused = |why: String| Failure::new(Exit::Config, format!("ca_file {name}: {why}"));
    let pem = fs::read(path).map_err(|error| refused(failure::os_error_message(&error)))?;
    let certificates: Result<Authorities, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect();
    match certificates {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(refused("holds no certificate in PEM".to_owned())),
    }
}

/// Returns the settings of a client. `authorities` take the place of those that the host trusts.
///
/// # Errors
/// [`Exit::Config`]: none of the authorities can be used.
pub(crate) fn client_config(authorities: Option<&Authorities>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let host_authorities = match authorities {
        Some(_) => Authorities::new(),
        None => http::host_root_certificates(),
    };
    let trusted = authorities.unwrap_or(&host_authorities);
    let (added, _) = roots.add_parsable_certificates(
        trusted.iter().map(|certificate| CertificateDer::from_slice(certificate)),
    );
    if added == 0 {
        if authorities.is_some() {
            return Err(Failure::new(Exit::Config, "ca_file: no certificate in it can be used"));
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of these versions");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
