# Builds the wheel against an older C library than this machine's, for images that have one.
#
# The base needs a compiler and pip; the build needs a network.
ARG BUILDER_IMAGE=python:3.13
FROM ${BUILDER_IMAGE}
COPY source/ /source/
RUN ["python3", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "/wheel", "/source"]
CMD ["true"]
