# syntax=docker/dockerfile:1
# Vedette alone, in some 220 MB, as a user without rights. `docker build -t vedette .`
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# Caches outlive a build: after a change only what changed is compiled.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --workspace --locked \
    && install -D --strip target/release/vedette /out/vedette

FROM debian:12.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/vedette vedette
# Authorities for brokers and servers that speak TLS; nothing is installed for them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/vedette /usr/local/bin/vedette
USER 10001:10001
WORKDIR /var/lib/vedette
VOLUME /var/lib/vedette
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/vedette"]
CMD ["--help"]
