# jobshim alone in its image: one static binary, no shell, no library, nobody's root.
#
#   docker build -t jobshim .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8187:8187 -p 127.0.0.1:8186:8186 \
#       --add-host host.docker.internal:host-gateway -e JOBSHIM_UPSTREAM=http://host.docker.internal:8188 jobshim
#
# To keep what must survive a restart: -v jobshim-state:/state -e JOBSHIM_STATE_DIR=/state

FROM docker.io/library/rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN deploy/build-static /out && mkdir /out/state

FROM scratch
COPY --from=build /out/jobshim /jobshim
# A volume that is mounted here belongs to the user below.
COPY --from=build --chown=65532:65532 /out/state /state
USER 65532:65532
ENV JOBSHIM_LISTEN=0.0.0.0:8187
# The page: out of the container it is seen where its port is published.
ENV JOBSHIM_ADMIN=0.0.0.0:8186
EXPOSE 8187 8186
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/jobshim", "health"]
ENTRYPOINT ["/jobshim"]
