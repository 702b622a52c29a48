import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import java.net.MalformedURLException;
import java.net.URL;
import java.text.ParseException;
import java.util.Set;

/** Verifies the access tokens of one project. Keep one for all requests: it keeps the JWKS for five minutes. */
public final class TokenVerifier {
    private final JWKSource<SecurityContext> keys;
    private final DefaultJWTClaimsVerifier<SecurityContext> claimsVerifier;

    public TokenVerifier(String api, String project) throws MalformedURLException {
        String url = String.format("%s/v1/projects/%s/.well-known/jwks.json", api, project);
        keys = JWKSourceBuilder.create(new URL(url)).build();
        JWTClaimsSet expected = new JWTClaimsSet.Builder().issuer(project).build();
        claimsVerifier = new DefaultJWTClaimsVerifier<>(project, expected, Set.of("sub", "sid", "exp"));
    }

    /** The claims of a valid token. */
    public JWTClaimsSet verify(String token) throws ParseException, JOSEException, BadJWTException {
        SignedJWT jwt = SignedJWT.parse(token);
        String keyId = jwt.getHeader().getKeyID();
        JWKMatcher matcher = new JWKMatcher.Builder().curve(Curve.Ed25519).keyID(keyId).build();
        for (JWK key : keys.get(new JWKSelector(matcher), null)) {
            if (jwt.verify(new Ed25519Verifier(key.toOctetKeyPair()))) {
                claimsVerifier.verify(jwt.getJWTClaimsSet(), null);
                return jwt.getJWTClaimsSet();
            }
        }
        throw new BadJWTException("no key of the project has signed it");
    }
}
