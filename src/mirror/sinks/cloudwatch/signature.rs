//! AWS Signature Version 4, for requests whose body and headers are at hand. Pure.

use crate::chain;
use crate::event::Hash;
use crate::mirror::hmac;
use crate::secret::Secret;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Debug)]
pub(super) struct AwsCredentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Present with temporary credentials.
    pub session_token: Option<Secret>,
}

/// The scope of a signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct SigningScope<'a> {
    pub region: &'a str,
    pub service: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedRequest<'a> {
    pub method: &'a str,
    /// The path, encoded as it is sent.
    pub path: &'a str,
    /// All headers that are signed, `host` and `x-amz-date` among them: names in lower case, in the
    /// order of the alphabet.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// The time of a request as its header `x-amz-date` has it: `20150830T123600Z`.
pub(super) fn format_time(at: Timestamp) -> String {
    let exact = Zone::utc().format(at.truncate_to_second(), TimeFormat::Rfc3339);
    exact.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// Returns the header `Authorization` of a request. `time` is that of its header `x-amz-date`.
pub(super) fn authorization(
    credentials: &AwsCredentials,
    scope: SigningScope<'_>,
    time: &str,
    request: SignedRequest<'_>,
) -> String {
    let date = &time[..time.find('T').unwrap_or(time.len())];
    let SigningScope { region, service } = scope;
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let canonical = Hash(chain::sha256(canonical_request(request, &names).as_bytes()));
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}");
    let key = signing_key(credentials, &[date, region, service, "aws4_request"]);
    let signature = hmac::sha256(&key.0, text.as_bytes());
    let id = &credentials.access_key_id;
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

fn canonical_request(request: SignedRequest<'_>, names: &str) -> String {
    let headers: String = request
        .headers
        .iter()
        .map(|(name, value)| {
            let value: Vec<&str> = value.split_ascii_whitespace().collect();
            format!("{name}:{}\n", value.join(" "))
        })
        .collect();
    let body = Hash(chain::sha256(request.body));
    // No request has a query, so its line is empty.
    format!("{}\n{}\n\n{headers}\n{names}\n{body}", request.method, request.path)
}

fn signing_key(credentials: &AwsCredentials, scope: &[&str]) -> Hash {
    let secret = format!("AWS4{}", credentials.secret_access_key.reveal());
    let (first, rest) = scope.split_first().expect("a scope has parts");
    let first = hmac::sha256(secret.as_bytes(), first.as_bytes());
    rest.iter().fold(first, |key, part| hmac::sha256(&key.0, part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "20150830T123600Z";

    fn example() -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "key")
                .unwrap(),
            session_token: None,
        }
    }

    fn signature(request: SignedRequest<'_>) -> String {
        let scope = SigningScope { region: "us-east-1", service: "service" };
        let header = authorization(&example(), scope, TIME, request);
        header.rsplit_once('=').unwrap().1.to_owned()
    }

    /// The example in AWS's reference on the derivation of a key.
    #[test]
    fn the_key_is_that_of_the_reference() {
        let key = signing_key(&example(), &["20150830", "us-east-1", "iam", "aws4_request"]);
        assert_eq!(
            key.to_string(),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    /// From AWS's test suite of Signature Version 4: get-vanilla, post-vanilla,
    /// post-x-www-form-urlencoded, get-header-value-trim.
    #[test]
    fn signatures_are_those_of_the_test_suite() {
        let base = [("host", "example.amazonaws.com"), ("x-amz-date", TIME)];
        let get = SignedRequest { method: "GET", path: "/", headers: &base, body: b"" };
        assert_eq!(
            signature(get),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature(SignedRequest { method: "POST", ..get }),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let form = [("content-type", "application/x-www-form-urlencoded"), base[0], base[1]];
        assert_eq!(
            signature(SignedRequest {
                method: "POST",
                headers: &form,
                body: b"Param1=value1",
                ..get
            }),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
        let trimmed =
            [base[0], ("my-header1", " value1"), ("my-header2", " \"a   b   c\""), base[1]];
        assert_eq!(
            signature(SignedRequest { headers: &trimmed, ..get }),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
        );
    }

    #[test]
    fn the_whole_header_is_as_documented() {
        let base = [("host", "example.amazonaws.com"), ("x-amz-date", TIME)];
        let get = SignedRequest { method: "GET", path: "/", headers: &base, body: b"" };
        let scope = SigningScope { region: "us-east-1", service: "service" };
        assert_eq!(
            authorization(&example(), scope, TIME, get),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn a_time_has_neither_dashes_nor_fractions() {
        let at = Timestamp::parse_rfc3339("2015-08-30T12:36:00.987Z").unwrap();
        assert_eq!(format_time(at), TIME);
    }
}
