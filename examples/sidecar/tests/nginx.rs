//! nginx asks the sidecar for the token, and speaks with the upstream itself. Without nginx this test
//! would only say that it did nothing; with `REQUIRE_NGINX=1` that is a failure.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Child, Command},
};

use tokio::time::sleep;

use super::*;

/// A running nginx, and the folder that has all its files.
struct Nginx {
    process: Child,
    folder: PathBuf,
    addr: SocketAddr,
}

impl Nginx {
    /// `None` if it is not installed.
    async fn start(sidecar: &Sidecar, upstream: SocketAddr) -> Option<Self> {
        let (sidecar, control) = (sidecar.addr, sidecar.control);
        // It cannot say which port it was given; this one was free a moment ago.
        let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = env::temp_dir().join(format!("tower-oauth-nginx-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {of};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid pid; error_log stderr;
            events {{}}
            http {{
                access_log off;
                {temp}
                server {{
                    listen {addr};
                    location / {{
                        auth_request /_token;
                        auth_request_set $token $upstream_http_authorization;
                        proxy_set_header Authorization $token;
                        proxy_pass http://{upstream};
                        proxy_intercept_errors on;
                        error_page 401 = @sidecar;
                    }}
                    location @sidecar {{ proxy_pass http://{sidecar}; }}
                    location = /_token {{
                        internal;
                        proxy_pass http://{control}/auth;
                        proxy_pass_request_body off;
                        proxy_set_header Content-Length '';
                    }}
                }}
            }}"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        // Debian has it where only root's PATH leads.
        let spawn = |program| {
            Command::new(program).arg("-p").arg(&folder).args(["-c", "nginx.conf"]).spawn()
        };
        let Ok(process) = spawn("nginx").or_else(|_| spawn("/usr/sbin/nginx")) else {
            fs::remove_dir_all(&folder).unwrap();
            return None;
        };
        let mut nginx = Self { process, folder, addr };
        while TcpStream::connect(addr).await.is_err() {
            let ended = nginx.process.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended; its own words are above");
            sleep(Duration::from_millis(10)).await;
        }
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn nginx_sends_the_token_and_speaks_with_the_upstream_itself() {
    let server = AuthorizationServer::new();
    server.down(true);
    let token_endpoint = server.listen().await.unwrap();
    let upstream = upstream(server.clone()).await;
    let origin = format!("http://{upstream}");
    let sidecar = Sidecar::start("", &token_endpoint.uri("/token"), &origin).await.unwrap();
    let Some(nginx) = Nginx::start(&sidecar, upstream).await else {
        assert!(env::var_os("REQUIRE_NGINX").is_none(), "nginx is not installed");
        eprintln!("SKIPPED: nginx is not installed");
        return;
    };
    let send = || {
        let request = Request::post(format!("http://{}/orders", nginx.addr))
            .header(header::AUTHORIZATION, "Basic b3du")
            .body(full("three apples"));
        client(false).request(request.unwrap())
    };

    // Without a token nothing gets through.
    assert_eq!(send().await.unwrap().status(), 500);
    assert_eq!(server.resource_requests(), 0);

    server.down(false);
    while sidecar.ask("/readyz").await.status() != 200 {
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..10 {
        let response = send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await.unwrap(), "three apples");
    }
    assert_eq!(server.authorizations(), ["Bearer token-1"; 10]);

    // A rejected token: that one request goes through the sidecar, and after it no other needs to.
    server.revoke_all();
    for _ in 0..10 {
        let response = send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await.unwrap(), "three apples");
    }
    let page = text(sidecar.ask("/metrics").await).await.unwrap();
    assert!(page.contains("oauth_client_replays_total{cache=\"sidecar\"} 1\n"), "{page}");
    let seen = server.authorizations();
    assert_eq!(seen[10..12], ["Bearer token-1"; 2], "from nginx, and from the sidecar");
    assert_eq!(seen[12..], ["Bearer token-2"; 10], "again from the sidecar, and then from nginx");

    // A path of the API's own that says 401 whatever the token is, and has a name like one of ours.
    server.reject_every(1);
    let login = Request::post(format!("http://{}/auth/login", nginx.addr)).body(full("wrong"));
    let response = client(false).request(login.unwrap()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key(header::AUTHORIZATION));
}
