# Builds the wheel for images whose C library is older than this machine's.
#
# The base needs a compiler and pip; the build needs a network.
ARG BUILDER_IMAGE=python:3.13
FROM ${BUILDER_IMAGE}
COPY source/ /source/
RUN ["python3", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "/wheel", "/source"]
CMD ["true"]
