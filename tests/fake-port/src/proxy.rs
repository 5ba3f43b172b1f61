//! An HTTP proxy that connects to the fake Port server for every host.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::TcpStream,
};

/// The hosts and ports of the requested tunnels, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tunneled(Arc<Mutex<Vec<String>>>);

impl Tunneled {
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.0.lock().expect("the lock is not poisoned").clone()
    }

    fn record(&self, authority: &str) {
        let mut authorities = self.0.lock().expect("the lock is not poisoned");
        authorities.push(authority.to_owned());
    }
}

/// A proxy on a free port of the loopback interface. [`Proxy::serve`] runs it.
pub(crate) struct Proxy {
    listener: TcpListener,
    destination: SocketAddr,
    tunneled: Tunneled,
}

impl Proxy {
    /// A proxy whose tunnels all lead to this address.
    pub(crate) fn to(destination: SocketAddr, tunneled: Tunneled) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            destination,
            tunneled,
        })
    }

    pub(crate) fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves the proxy until the future is dropped or the listener fails.
    pub(crate) async fn serve(self) {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .expect("the listener was made non-blocking, in a runtime with I/O");
        while let Ok((client, _)) = listener.accept().await {
            let tunneled = self.tunneled.clone();
            // The two ends of a tunnel notice its errors.
            tokio::spawn(async move { tunnel(client, self.destination, &tunneled).await.ok() });
        }
    }
}

/// Serves one `CONNECT` (RFC 9110, section 9.3.6).
async fn tunnel(client: TcpStream, destination: SocketAddr, tunneled: &Tunneled) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if client.read_line(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut words = request.split(' ');
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else {
        let rejection = b"HTTP/1.1 405 Method Not Allowed\r\nallow: CONNECT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return client.write_all(rejection).await;
    };
    tunneled.record(authority);
    let mut port = TcpStream::connect(destination).await?;
    client.get_ref().set_nodelay(true)?;
    port.set_nodelay(true)?;
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    copy_bidirectional(&mut client, &mut port).await?;
    Ok(())
}
